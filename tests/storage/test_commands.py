"""The commands of `media-worker storage`, on the strict server."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from tests.storage.helpers import BODY, fetch, status_of
from tests.support.strict_s3 import StrictS3
from worker.cli.storage import app
from worker.demo.bodies import media
from worker.storage import ObjectStore


def run(*arguments: object, status: int = 0) -> Result:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == status, result.output
    return result


def answer(*arguments: object, status: int = 0) -> Any:
    return json.loads(run(*arguments, "--json", status=status).stdout)


@pytest.fixture
def store(strict_env: StrictS3) -> Any:
    store = ObjectStore.from_settings()
    yield store
    store.close()


@pytest.fixture
def song(tmp_path: Path) -> Path:
    path = tmp_path / "My [b]Song.mp3"
    path.write_bytes(media("melody.mp3").content)
    return path


def test_upload_prints_where_the_file_is(strict_env: StrictS3, song: Path) -> None:
    printed = json.loads(run("upload", song).stdout)
    assert re.fullmatch(r"media/[0-9a-f-]{36}\.mp3", printed["key"])
    assert printed == {
        "url": f"{strict_env.endpoint}/media/{printed['key']}",
        "key": printed["key"],
        "filename": "My [b]Song.mp3",
        "mimetype": "audio/mpeg",
        "size": song.stat().st_size,
    }
    assert strict_env.read("media", printed["key"]) == song.read_bytes()


@pytest.mark.parametrize(
    ("name", "kind", "extension"),
    [
        ("melody.m4a", "audio/mp4", "m4a"),
        ("clip.mp4", "video/mp4", "mp4"),
        ("cover.jpg", "image/jpeg", "jpg"),
        ("cover.png", "image/png", "png"),
    ],
)
def test_upload_goes_by_the_content_not_by_the_name(
    strict_env: StrictS3, tmp_path: Path, name: str, kind: str, extension: str
) -> None:
    (tmp_path / "misnamed.mp3").write_bytes(media(name).content)
    printed = answer("upload", tmp_path / "misnamed.mp3")
    assert printed["mimetype"] == kind
    assert printed["key"].endswith(f".{extension}")


@pytest.mark.parametrize(
    ("content", "found"),
    [(b"<html><body>", "an HTML page"), (b"PK\x03\x04", "a ZIP archive"), (b"", "an empty file")],
)
def test_what_is_no_media_by_content_is_refused(
    strict_env: StrictS3, tmp_path: Path, content: bytes, found: str
) -> None:
    (tmp_path / "song.mp3").write_bytes(content)
    result = run("upload", tmp_path / "song.mp3", status=1)
    assert f"song.mp3 is no audio, video or image: expected audio, but found {found}" in (
        result.stderr
    )
    assert strict_env.keys("media") == []


def test_upload_of_a_missing_file_is_wrong_usage(strict_env: StrictS3) -> None:
    run("upload", "nothing.mp3", status=2)


def test_downloaded_object_is_in_the_file(store: ObjectStore, tmp_path: Path) -> None:
    store.upload("u/song.mp3", BODY)
    printed = answer("download", "u/song.mp3")
    assert printed == {"key": "u/song.mp3", "file": "song.mp3", "size": len(BODY)}
    assert Path("song.mp3").read_bytes() == BODY
    run("download", "u/song.mp3", tmp_path / "other")
    assert (tmp_path / "other").read_bytes() == BODY
    assert run("download", "u/song.mp3", "-").stdout_bytes == BODY


def test_download_of_nothing_fails_and_makes_no_file(strict_env: StrictS3, tmp_path: Path) -> None:
    assert "there is no such object" in run("download", "nothing", status=1).stderr
    assert list(tmp_path.iterdir()) == []


def test_url_of_a_private_bucket_is_signed(store: ObjectStore) -> None:
    store.upload("a", BODY)
    assert fetch(run("url", "a").stdout.strip()) == BODY
    assert answer("url", "a", "--expires-in", 5)["expires_in"] == 5


def test_url_of_a_public_bucket_is_public_unless_asked_otherwise(
    store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("R2_PUBLIC_URL", "https://cdn.example.com")
    assert answer("url", "a") == {"url": "https://cdn.example.com/a", "key": "a", "signed": False}
    store.upload("a", BODY)
    assert fetch(run("url", "a", "--signed").stdout.strip()) == BODY


def test_upload_url_takes_a_put_of_the_content_type(strict_env: StrictS3) -> None:
    printed = answer("upload-url", "a.mp3", "--content-type", "audio/mpeg")
    assert printed.keys() == {"upload_url", "key", "url", "expires_in"}
    put = {"method": "PUT", "data": BODY}
    assert status_of(printed["upload_url"], **put, **{"Content-Type": "audio/mpeg"}) == 200
    assert strict_env.keys("media") == ["a.mp3"]


@pytest.mark.parametrize("seconds", [0, 604_801])
def test_lifetime_beyond_its_limits_is_wrong_usage(strict_env: StrictS3, seconds: int) -> None:
    run("url", "a", "--expires-in", seconds, status=2)


def test_exists_answers_by_its_exit_status_too(store: ObjectStore) -> None:
    store.upload("a", BODY)
    assert answer("exists", "a") == {"key": "a", "exists": True}
    assert answer("exists", "b", status=1) == {"key": "b", "exists": False}


def test_delete_deletes_what_it_can_and_tells_of_the_rest(store: ObjectStore) -> None:
    store.upload("a", BODY)
    printed = answer("delete", "a", "never-there", "../b", status=1)
    assert printed["deleted"] == ["a", "never-there"]
    assert list(printed["errors"]) == ["../b"]
    assert not store.exists("a")
    assert run("delete", "a").stdout == "deleted: a\n"


def test_key_is_found_in_a_url(store: ObjectStore) -> None:
    assert run("key", store.signed_download_url("u/a b.mp3")).stdout == "u/a b.mp3\n"
    result = run("key", "https://evil.example/a?X-Amz-Signature=hidden", status=2)
    assert "leads to no object of media" in result.stderr
    assert "hidden" not in result.stderr


def test_hostile_key_is_wrong_usage(strict_env: StrictS3) -> None:
    assert "dot segment" in run("exists", "../a", status=2).stderr


def test_status_says_what_is_missing(strict_env: StrictS3, monkeypatch: pytest.MonkeyPatch) -> None:
    assert answer("status") == {"r2Configured": True, "provider": "cloudflare-r2"}
    for name in ("ENDPOINT", "ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "BUCKET_NAME"):
        monkeypatch.delenv(f"R2_{name}")
    assert answer("status") == {"r2Configured": False, "provider": "cloudflare-r2"}
    assert "R2_BUCKET_NAME" in run("status").stdout
    assert "R2_ACCESS_KEY_ID" in run("exists", "a", status=2).stderr
    monkeypatch.setenv("R2_BUCKET_NAME", "media")
    assert "missing" in run("status", "--json", status=2).stderr


def test_unreachable_storage_fails(
    strict_env: StrictS3, monkeypatch: pytest.MonkeyPatch, unused_port: int
) -> None:
    monkeypatch.setenv("R2_ENDPOINT", f"http://127.0.0.1:{unused_port}")
    assert "check R2_ENDPOINT" in run("exists", "a", status=1).stderr
