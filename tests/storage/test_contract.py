"""What the storage service promises, on a lenient and on a strict S3 server."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from tests.storage.helpers import (
    BODY,
    OnlyRead,
    Server,
    Unseekable,
    fetch,
    store_on,
    stored,
)
from tests.storage.sources import MIB, random_bytes
from tests.support.buckets import S3ForTests
from tests.support.strict_s3 import StrictS3
from worker.errors import Permanent
from worker.storage import NoSuchObject, ObjectStore, Transfer, copying

PART = 5 * MIB


@pytest.fixture(params=["lenient", "strict"])
def server(request: pytest.FixtureRequest, s3: S3ForTests, strict: StrictS3) -> Server:
    return s3 if request.param == "lenient" else strict


@pytest.fixture(scope="module")
def small_parts() -> Transfer:
    """Multipart uploads as small as they may be."""
    return Transfer(multipart_threshold=PART, part_size=PART, unknown_part_size=PART)


@pytest.fixture
def store(server: Server, clients: dict[str, Any], small_parts: Transfer) -> ObjectStore:
    return store_on(server, clients, transfer=small_parts)


# upload and download


def test_uploaded_bytes_come_back(store: ObjectStore) -> None:
    uploaded = store.upload("a/b.mp3", BODY)
    assert stored(store, "a/b.mp3") == BODY
    assert uploaded.as_json() == {
        "url": f"{store.target.endpoint}/{store.target.bucket}/a/b.mp3",
        "key": "a/b.mp3",
        "filename": "b.mp3",
        "mimetype": "audio/mpeg",
        "size": len(BODY),
    }


def test_uploaded_file_comes_back_under_its_name(store: ObjectStore, tmp_path: Path) -> None:
    (tmp_path / "My Song.flac").write_bytes(BODY)
    uploaded = store.upload("media/1", tmp_path / "My Song.flac")
    assert (uploaded.filename, uploaded.mimetype) == ("My Song.flac", "audio/flac")
    assert stored(store, "media/1") == BODY


@pytest.mark.parametrize("stream", [io.BytesIO, Unseekable, OnlyRead])
def test_stream_is_stored_to_its_end(store: ObjectStore, stream: Any) -> None:
    assert store.upload("a", stream(BODY)).size == len(BODY)
    assert stored(store, "a") == BODY


def test_stream_is_stored_from_where_it_stands(store: ObjectStore) -> None:
    stream: BinaryIO = io.BytesIO(BODY)
    stream.seek(100)
    store.upload("a", stream)
    assert stored(store, "a") == BODY[100:]


@pytest.mark.parametrize("source", [b"", io.BytesIO, Unseekable])
def test_empty_object_is_stored(store: ObjectStore, source: Any) -> None:
    assert store.upload("a", source if source == b"" else source(b"")).size == 0
    assert stored(store, "a") == b""


@pytest.mark.parametrize("stream", [io.BytesIO, Unseekable])
def test_large_object_goes_in_parts(store: ObjectStore, server: Server, stream: Any) -> None:
    body = random_bytes(2 * PART + 12345)
    store.upload("a", stream(body), "audio/mpeg", cache_control="no-cache")
    found = store.head("a")
    assert found is not None
    assert found.etag.endswith("-3")
    assert (found.content_type, found.cache_control) == ("audio/mpeg", "no-cache")
    assert server.read(store.target.bucket, "a") == body
    assert server.open_uploads(store.target.bucket) == []


def test_stream_that_breaks_leaves_nothing(store: ObjectStore, server: Server) -> None:
    class Broken(Unseekable):
        def readinto(self, buffer: Any) -> int:
            if count := super().readinto(buffer):
                return count
            raise OSError("the disk broke")

    with pytest.raises(OSError, match="the disk broke"):
        store.upload("a", Broken(random_bytes(PART + 1_000_000)))
    assert server.keys(store.target.bucket) == []
    assert server.open_uploads(store.target.bucket) == []


def test_content_type_and_cache_control_are_kept(store: ObjectStore) -> None:
    store.upload("a.mp3", BODY, "audio/flac", cache_control="public, max-age=60")
    found = store.head("a.mp3")
    assert found is not None
    assert (found.content_type, found.cache_control) == ("audio/flac", "public, max-age=60")
    assert found.size == len(BODY)


def test_progress_adds_up_to_the_size(store: ObjectStore) -> None:
    counts: list[int] = []
    store.upload("a", BODY, progress=counts.append)
    assert sum(counts) == len(BODY)


def test_download_gives_blocks_and_what_is_known_of_the_object(store: ObjectStore) -> None:
    body = random_bytes(600_000)
    store.upload("a.mp3", body)
    with store.download("a.mp3") as download:
        assert (download.length, download.info.content_type) == (600_000, "audio/mpeg")
        assert b"".join(download) == body


def test_download_is_a_source_for_another_object(store: ObjectStore) -> None:
    store.upload("a", BODY)
    with store.download("a") as download:
        Transfer().send(
            download,
            store,
            "b",
            content_type="audio/mpeg",
            cache_control=None,
            may_finish=lambda: None,
            expires_in=60,
        )
    assert stored(store, "b") == BODY


def test_download_is_saved_whole(store: ObjectStore, tmp_path: Path) -> None:
    store.upload("a", BODY)
    with store.download("a") as download:
        download.save(tmp_path / "file")
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("file", BODY)]


def test_download_of_nothing_says_so(store: ObjectStore) -> None:
    with pytest.raises(NoSuchObject, match="there is no such object") as caught:
        store.download("nothing")
    assert isinstance(caught.value, Permanent)


# what is there


def test_exists_and_head_tell_what_is_there(store: ObjectStore) -> None:
    store.upload("a", BODY)
    assert store.exists("a")
    assert not store.exists("b")
    assert store.head("b") is None


@pytest.mark.parametrize("key", ["a b.mp3", "50%.mp3", "a+b&c=d", "it's (1)!~*.mp3", "#1?", "<&>"])
def test_unusual_key_is_one_key_everywhere(store: ObjectStore, key: str) -> None:
    store.upload(key, BODY)
    assert [found.key for found in store.list()] == [key]
    assert stored(store, key) == BODY
    assert fetch(store.signed_download_url(key)) == BODY
    assert store.key_from_url(store.public_url(key)) == key
    assert store.key_from_url(store.signed_download_url(key)) == key
    store.copy(key, f"{key}.copy")
    assert store.delete_many([key, f"{key}.copy"]) == {}
    assert list(store.list()) == []


def test_list_gives_the_keys_with_a_prefix(store: ObjectStore) -> None:
    for key in ("a/2", "a/1", "b/1"):
        store.upload(key, BODY)
    assert [(found.key, found.size) for found in store.list("a/")] == [
        ("a/1", len(BODY)),
        ("a/2", len(BODY)),
    ]


# delete


def test_deleted_object_is_gone_and_may_be_deleted_again(store: ObjectStore) -> None:
    store.upload("a", BODY)
    store.delete("a")
    store.delete("a")
    assert not store.exists("a")


# copy


def test_copy_has_the_bytes_and_the_headers(store: ObjectStore) -> None:
    store.upload("a", BODY, "audio/mpeg", cache_control="no-cache")
    copied = store.copy("a", "b")
    assert (copied.key, copied.size, copied.content_type) == ("b", len(BODY), "audio/mpeg")
    assert copied.cache_control == "no-cache"
    assert stored(store, "a") == stored(store, "b") == BODY


def test_copy_may_get_other_headers(store: ObjectStore) -> None:
    store.upload("a", BODY, "application/octet-stream")
    copied = store.copy("a", "b", content_type="audio/mpeg", cache_control="no-cache")
    assert (copied.content_type, copied.cache_control) == ("audio/mpeg", "no-cache")


def test_copy_keeps_the_header_that_is_not_given(store: ObjectStore) -> None:
    store.upload("a", BODY, "audio/flac", cache_control="no-cache")
    copied = store.copy("a", "b", content_type="audio/mpeg")
    assert (copied.content_type, copied.cache_control) == ("audio/mpeg", "no-cache")


def test_copy_goes_to_another_bucket_of_the_account(
    store: ObjectStore, server: Server, clients: dict[str, Any]
) -> None:
    other = store_on(server, clients)
    store.upload("a", BODY)
    store.copy("a", "b", bucket=other)
    assert server.read(other.target.bucket, "b") == BODY
    assert not store.exists("b")


def test_large_object_is_copied_in_parts(store: ObjectStore, server: Server) -> None:
    body = random_bytes(2 * PART + 777)
    store.upload("a", body, "audio/mpeg", cache_control="no-cache")
    copied = copying.copy(store, "a", store, "b", at_once=PART)
    assert copied.etag.endswith("-3")
    assert (copied.content_type, copied.cache_control) == ("audio/mpeg", "no-cache")
    assert server.read(store.target.bucket, "b") == body
    assert server.open_uploads(store.target.bucket) == []


def test_copy_of_nothing_says_so(store: ObjectStore) -> None:
    with pytest.raises(NoSuchObject, match="no object 'nothing'"):
        store.copy("nothing", "b")


def test_copy_onto_itself_changes_nothing(store: ObjectStore) -> None:
    store.upload("a", BODY)
    assert store.copy("a", "a") == store.head("a")


# signed URLs


def test_signed_url_lets_anybody_read(store: ObjectStore) -> None:
    store.upload("a", BODY)
    assert fetch(store.signed_download_url("a", expires_in=60)) == BODY


def test_signed_url_lets_anybody_upload_the_content_type(store: ObjectStore) -> None:
    url = store.signed_upload_url("a", "audio/mpeg", expires_in=60)
    fetch(url, method="PUT", data=BODY, **{"Content-Type": "audio/mpeg"})
    found = store.head("a")
    assert found is not None
    assert (found.size, found.content_type) == (len(BODY), "audio/mpeg")


@pytest.mark.parametrize("seconds", [0, -1, 604_801, 1.5, None])
def test_signed_url_lives_one_second_to_seven_days(store: ObjectStore, seconds: Any) -> None:
    with pytest.raises(ValueError, match="lives 1 to 604800 seconds"):
        store.signed_download_url("a", expires_in=seconds)
    with pytest.raises(ValueError, match="lives 1 to 604800 seconds"):
        store.signed_upload_url("a", "audio/mpeg", expires_in=seconds)


@pytest.mark.parametrize("seconds", [1, 604_800])
def test_limits_of_a_signed_url_are_allowed(store: ObjectStore, seconds: int) -> None:
    store.upload("a", BODY)
    assert f"X-Amz-Expires={seconds}&" in store.signed_download_url("a", expires_in=seconds)


@pytest.mark.parametrize(
    "kind", ["", "audio", "audio/mpeg\r\nx: y", "audio/mpeg\n", "audio/mpeg; \x7f"]
)
def test_content_type_that_is_none_is_refused(store: ObjectStore, kind: str) -> None:
    with pytest.raises(ValueError, match="is no content type"):
        store.signed_upload_url("a", kind)


# refusals


def test_text_stream_is_refused(store: ObjectStore) -> None:
    with pytest.raises(TypeError, match="binary stream"):
        store.upload("a", io.StringIO("text"))  # type: ignore[arg-type]


def test_missing_file_is_the_systems_own_error(store: ObjectStore, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        store.upload("a", tmp_path / "nothing")
