"""The storage service on a server that refuses what R2 refuses."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tests.storage.helpers import BODY, Unseekable, status_of, stored
from tests.support.strict_s3 import StrictS3
from worker.errors import Misconfigured, Outage, Temporary
from worker.storage import BadKey, ObjectStore, copying


def test_list_goes_through_all_pages(strict: StrictS3, strict_store: ObjectStore) -> None:
    keys = [f"k{number}" for number in range(7)]
    for key in keys:
        strict_store.upload(key, b"x")
    strict.page = 3
    assert [found.key for found in strict_store.list("k")] == keys
    assert sum("list-type=2" in seen.query_string for seen in strict.journal) == 3


def test_batch_is_deleted_in_one_request(strict: StrictS3, strict_store: ObjectStore) -> None:
    for key in ("a", "b", "c"):
        strict_store.upload(key, b"x")
    strict.journal.clear()
    assert strict_store.delete_many(["a", "b", "never-there"]) == {}
    assert [(seen.method, seen.query_string) for seen in strict.journal] == [("POST", "delete")]
    assert "content-md5" in strict.journal[0].headers
    assert strict.keys(strict_store.target.bucket) == ["c"]


def test_copy_in_parts_that_fails_leaves_no_upload_open(
    strict: StrictS3, strict_store: ObjectStore
) -> None:
    strict_store.upload("a", BODY)
    with pytest.raises(Temporary, match="EntityTooSmall"):
        copying.copy(strict_store, "a", strict_store, "b", at_once=len(BODY) // 2)
    assert strict.keys(strict_store.target.bucket) == ["a"]
    assert strict.open_uploads(strict_store.target.bucket) == []


def test_signed_upload_of_another_type_is_refused(strict_store: ObjectStore) -> None:
    url = strict_store.signed_upload_url("a", "audio/mpeg")
    status = status_of(url, method="PUT", data=BODY, **{"Content-Type": "text/html"})
    assert status == 403
    assert not strict_store.exists("a")


@pytest.mark.parametrize(("later", "status"), [(-1, 200), (29, 200), (60, 400)])
def test_signed_url_dies_at_its_time(
    strict: StrictS3, strict_store: ObjectStore, later: int, status: int
) -> None:
    strict_store.upload("a", BODY)
    url = strict_store.signed_download_url("a", expires_in=40)
    strict.ahead = timedelta(seconds=later)
    assert status_of(url) == status


def test_signed_url_is_for_its_key_and_method_alone(strict_store: ObjectStore) -> None:
    strict_store.upload("a", BODY)
    strict_store.upload("b", BODY)
    url = strict_store.signed_download_url("a")
    assert status_of(url.replace("/a?", "/b?")) == 403
    assert status_of(url, method="DELETE") == 403


@pytest.mark.parametrize("key", ["", "/a", "a//b", "a/../b", "a\\b", "a\nb", "a%2e%2e", "ключ"])
def test_hostile_key_is_refused_by_every_method(
    strict: StrictS3, strict_store: ObjectStore, key: str
) -> None:
    store = strict_store
    for call in (
        lambda: store.upload(key, b"x"),
        lambda: store.download(key),
        lambda: store.delete(key),
        lambda: store.exists(key),
        lambda: store.head(key),
        lambda: store.copy(key, "b"),
        lambda: store.signed_download_url(key),
        lambda: store.signed_upload_url(key, "audio/mpeg"),
        lambda: store.public_url(key),
    ):
        with pytest.raises(BadKey, match="object key"):
            call()
    assert list(store.delete_many([key])) == [key]
    assert strict.journal == []


def test_hostile_destination_of_a_copy_is_refused(strict_store: ObjectStore) -> None:
    strict_store.upload("a", BODY)
    with pytest.raises(BadKey, match="dot segment"):
        strict_store.copy("a", "../b")


def test_second_write_within_a_second_is_an_outage_that_names_the_wait(
    strict: StrictS3, strict_store: ObjectStore
) -> None:
    strict.clock = lambda: 0.0
    strict_store.upload("a", BODY)
    with pytest.raises(Outage, match="429 TooManyRequests") as caught:
        strict_store.upload("a", b"other")
    assert caught.value.retry_after == 1.0
    strict.clock = lambda: 1.0
    strict_store.upload("a", b"other")
    assert stored(strict_store, "a") == b"other"


def test_bodies_carry_a_length_and_no_streaming_sums(
    strict: StrictS3, strict_store: ObjectStore
) -> None:
    strict_store.upload("a", Unseekable(BODY))
    strict_store.put_small("b", b"{}", content_type="application/json")
    bodies = [seen for seen in strict.journal if seen.method == "PUT"]
    assert len(bodies) == 2
    for seen in bodies:
        assert seen.headers["content-length"] == str(len(seen.body))
        assert not {"x-amz-trailer", "transfer-encoding", "content-encoding"} & seen.headers.keys()


def test_wrong_secret_is_a_misconfiguration_that_names_the_variable(
    strict_env: StrictS3, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("R2_SECRET_ACCESS_KEY", "wrong")
    store = ObjectStore.from_settings()
    with pytest.raises(Misconfigured, match="check R2_SECRET_ACCESS_KEY"):
        store.check()
    with pytest.raises(Outage, match="check R2_SECRET_ACCESS_KEY"):
        store.upload("a", BODY)
    store.close()


def test_check_passes_and_leaves_nothing(strict: StrictS3, strict_store: ObjectStore) -> None:
    strict_store.check()
    assert strict.keys(strict_store.target.bucket) == []
