"""How the service finds its bucket, and what it does with downloads that break."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.storage.helpers import BODY, stored
from tests.storage.s3_standin import Request, S3StandIn, Wire
from tests.support.strict_s3 import StrictS3
from worker.errors import Misconfigured, Outage
from worker.settings import load_settings
from worker.storage import ObjectStore
from worker.storage.content_types import content_type_of

OURS = ("R2_", "STORAGE_", "CDN_", "CREDENTIALS_")


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.startswith(OURS)]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def r2(nothing_set: None, strict_env: StrictS3) -> StrictS3:
    return strict_env


def test_default_is_the_r2_bucket(r2: StrictS3) -> None:
    store = ObjectStore.from_settings()
    uploaded = store.upload("media/a.mp3", BODY)
    assert r2.read("media", "media/a.mp3") == BODY
    assert uploaded.url == f"{r2.endpoint}/media/media/a.mp3"
    store.close()


def test_public_url_of_r2_holds_no_bucket(r2: StrictS3, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("R2_PUBLIC_URL", "https://cdn.example.com/")
    store = ObjectStore.from_settings("cdn:r2_cdn")
    assert store.public_url("audio/1.mp3") == "https://cdn.example.com/audio/1.mp3"
    assert store.key_from_url("https://cdn.example.com/audio/1.mp3") == "audio/1.mp3"
    store.close()


def test_further_target_and_primary_storage_are_found_by_name(
    strict: StrictS3, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket = strict.fresh_bucket()
    monkeypatch.setenv("CDN_TARGETS", "r2_cdn,backup")
    monkeypatch.setenv("CDN_BACKUP_BUCKET", bucket)
    for prefix in ("CDN_BACKUP", "STORAGE"):
        monkeypatch.setenv(f"{prefix}_ENDPOINT", strict.endpoint)
        monkeypatch.setenv(f"{prefix}_ACCESS_KEY_ID", strict.access_key_id)
        monkeypatch.setenv(f"{prefix}_SECRET_ACCESS_KEY", strict.secret_access_key)
    monkeypatch.setenv("STORAGE_PUBLIC_URL", "https://files.example.com")
    cdn = ObjectStore.from_settings("cdn:backup")
    primary = ObjectStore.from_settings(f"storage:{bucket}", settings=load_settings())
    cdn.upload("a", BODY)
    assert stored(primary, "a") == BODY
    assert primary.public_url("a") == f"https://files.example.com/{bucket}/a"
    assert (cdn.target.service, primary.target.service) == ("cdn:backup", "storage")
    cdn.close()
    primary.close()


def test_service_that_is_not_configured_names_the_variables() -> None:
    with pytest.raises(Misconfigured) as caught:
        ObjectStore.from_settings()
    for name in ("R2_ACCOUNT_ID", "R2_ACCESS_KEY_ID", "R2_SECRET_ACCESS_KEY", "R2_BUCKET_NAME"):
        assert name in str(caught.value)


def test_half_configured_service_names_what_is_missing(
    r2: StrictS3, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("R2_SECRET_ACCESS_KEY")
    with pytest.raises(Misconfigured, match="R2_SECRET_ACCESS_KEY missing"):
        ObjectStore.from_settings()
    assert ObjectStore.status() == {"r2Configured": False, "provider": "cloudflare-r2"}


def test_status_says_whether_r2_is_configured(r2: StrictS3) -> None:
    assert ObjectStore.status() == {"r2Configured": True, "provider": "cloudflare-r2"}
    for name in ("ENDPOINT", "ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "BUCKET_NAME"):
        del os.environ[f"R2_{name}"]
    assert ObjectStore.status() == {"r2Configured": False, "provider": "cloudflare-r2"}


def test_region_is_no_setting_of_r2() -> None:
    from worker.storage import StorageTarget

    targets = [StorageTarget(service, "", "", "", "", "") for service in ("cdn:r2_cdn", "storage")]
    assert [target.place_settings for target in targets] == [
        "R2_ENDPOINT",
        "STORAGE_REGION and STORAGE_ENDPOINT",
    ]


def test_download_that_is_cut_short_is_an_outage_and_leaves_no_file(
    store: ObjectStore, standin: S3StandIn, tmp_path: Path
) -> None:
    def cut(wire: Wire, request: Request) -> bool:
        head = "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\nETag: x\r\n"
        modified = "Last-Modified: Thu, 01 Jan 2026 00:00:00 GMT\r\n\r\n"
        wire.sock.sendall(f"{head}{modified}only this".encode())
        raise ConnectionError

    standin.fail_always("GET", cut)
    (tmp_path / "file").write_bytes(b"before")
    with store.download("a") as body, pytest.raises(Outage, match="cut the connection"):
        body.save(tmp_path / "file")
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("file", b"before")]


@pytest.mark.parametrize(
    ("names", "kind"),
    [
        (("a/b.mp3",), "audio/mpeg"),
        (("a/b", "Song.M4A"), "audio/mp4"),
        (("a/b.json", "x.mp3"), "application/json"),
        (("a.mp3/b",), "application/octet-stream"),
        (("",), "application/octet-stream"),
        (("c:/x.flac",), "audio/flac"),
        (("data:x.webp",), "image/webp"),
    ],
)
def test_content_type_follows_the_first_name_that_tells_one(
    names: tuple[str, ...], kind: str
) -> None:
    assert content_type_of(*names) == kind
