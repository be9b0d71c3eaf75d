from __future__ import annotations

from datetime import timedelta

import pytest

from tests.storage.conftest import target_at
from tests.storage.s3_standin import S3StandIn, refuse
from tests.support.buckets import S3ForTests
from worker.errors import Misconfigured, Outage
from worker.storage import BadKey, ObjectStore


def put(bucket: ObjectStore, *keys: str) -> None:
    for key in keys:
        bucket.put_small(key, b"data", content_type="text/plain")


def test_head_tells_size_type_and_etag(bucket: ObjectStore) -> None:
    bucket.put_small("a/b.json", b"{}", content_type="application/json", cache_control="no-cache")
    found = bucket.head("a/b.json")
    assert found is not None
    assert (found.size, found.content_type) == (2, "application/json")
    assert found.etag == "99914b932bd37a50b983c5e7c90ae93b"


def test_head_of_nothing_is_none(bucket: ObjectStore) -> None:
    assert bucket.head("nothing") is None


def test_read_small_returns_what_was_put(bucket: ObjectStore) -> None:
    put(bucket, "a")
    assert bucket.read_small("a") == b"data"


def test_list_gives_only_keys_with_the_prefix(bucket: ObjectStore) -> None:
    put(bucket, "a/1", "a/2", "b/1")
    assert [found.key for found in bucket.list("a/")] == ["a/1", "a/2"]
    assert next(bucket.list("b/")).size == 4


def test_delete_many_deletes_and_takes_missing_for_deleted(
    bucket: ObjectStore, s3: S3ForTests
) -> None:
    put(bucket, "a", "b", "c")
    assert bucket.delete_many(["a", "b", "never-there", "a"]) == {}
    assert s3.keys(bucket.target.bucket) == ["c"]


def test_delete_many_goes_beyond_one_batch(bucket: ObjectStore) -> None:
    assert bucket.delete_many(f"key-{number}" for number in range(1001)) == {}


def test_delete_many_tells_of_a_hostile_key_and_deletes_the_others(
    bucket: ObjectStore, s3: S3ForTests
) -> None:
    put(bucket, "a", "b")
    assert list(bucket.delete_many(["a", "../b", "b"])) == ["../b"]
    assert s3.keys(bucket.target.bucket) == []


def test_delete_many_goes_singly_where_bulk_is_refused(
    store: ObjectStore, standin: S3StandIn
) -> None:
    put(store, "a", "b", "c")
    assert store.delete_many(["a", "b", "c"]) == {}
    assert standin.objects == {}
    assert standin.methods().count("POST") == 1
    store.delete_many(["a", "b"])
    assert standin.methods().count("POST") == 1


def test_delete_many_reads_the_errors_of_a_good_answer(
    store: ObjectStore, standin: S3StandIn
) -> None:
    errors = "".join(
        f"<Error><Key>{key}</Key><Code>{code}</Code><Message>m</Message></Error>"
        for key, code in (("a", "AccessDenied"), ("b", "NoSuchKey"))
    )

    def answer(wire, request) -> bool:  # type: ignore[no-untyped-def]
        wire.read(request.length)
        wire.reply(200, f"<DeleteResult>{errors}</DeleteResult>")
        return True

    standin.fail_once("POST", answer)
    assert store.delete_many(["a", "b", "c"]) == {"a": "AccessDenied: m"}


def test_delete_many_in_an_outage_raises(store: ObjectStore, standin: S3StandIn) -> None:
    standin.fail_always("POST", refuse(503, "SlowDown", Retry_After="7"))
    with pytest.raises(Outage, match="SlowDown"):
        store.delete_many(["a", "b"])


def test_delete_in_a_missing_bucket_is_an_outage(s3: S3ForTests) -> None:
    store = ObjectStore(target_at(s3.endpoint, "not-there"))
    with pytest.raises(Outage, match="create the bucket"):
        store.delete_many(["a"])
    store.client.close()


def test_put_small_does_not_ask_for_an_interim_answer(
    store: ObjectStore, standin: S3StandIn
) -> None:
    put(store, "a")
    assert "expect" not in standin.requests[-1].headers
    assert "transfer-encoding" not in standin.requests[-1].headers


def test_url_of_a_private_bucket_is_on_the_endpoint() -> None:
    store = ObjectStore(target_at("https://s3.example.com/storage/v1/s3/"), client=object())
    assert store.url("u/a b.mp3") == "https://s3.example.com/storage/v1/s3/bucket/u/a%20b.mp3"


def test_url_of_a_public_bucket_is_on_the_public_url() -> None:
    target = target_at("https://s3.example.com", public_url="https://media.example.com/")
    assert ObjectStore(target, client=object()).url("t.mp3") == (
        "https://media.example.com/bucket/t.mp3"
    )


def test_hostile_key_reaches_no_server(store: ObjectStore, standin: S3StandIn) -> None:
    for call in (store.head, store.read_small, store.url, store.abort_uploads):
        with pytest.raises(BadKey):
            call("a/../b")
    assert standin.requests == []


def test_presigned_put_signs_every_header(store: ObjectStore) -> None:
    headers = {"Content-Type": "audio/mpeg", "Content-Length": "5", "Cache-Control": "no-cache"}
    url = store.presign_put("a", expires_in=77, headers=headers)
    assert "X-Amz-SignedHeaders=cache-control%3Bcontent-length%3Bcontent-type%3Bhost" in url
    assert "X-Amz-Expires=77" in url


def test_abort_uploads_aborts_those_of_exactly_the_key(bucket: ObjectStore) -> None:
    for key in ("a", "a", "a.bak"):
        bucket.create_multipart(key, content_type="audio/mpeg", cache_control=None)
    assert bucket.abort_uploads("a") == 2
    assert [upload.key for upload in bucket.open_uploads()] == ["a.bak"]


def test_open_uploads_leaves_out_young_ones(store: ObjectStore) -> None:
    store.create_multipart("a", content_type="audio/mpeg", cache_control=None)
    assert list(store.open_uploads(older_than=timedelta(minutes=5))) == []
    assert len(list(store.open_uploads())) == 1


def test_abort_of_an_upload_that_is_gone_is_fine(bucket: ObjectStore) -> None:
    upload = bucket.create_multipart("a", content_type="audio/mpeg", cache_control=None)
    bucket.abort_multipart("a", upload)
    bucket.abort_multipart("a", upload)


def test_check_passes_and_leaves_nothing(bucket: ObjectStore, s3: S3ForTests) -> None:
    bucket.check()
    assert s3.keys(bucket.target.bucket) == []


def test_check_names_a_missing_bucket(s3: S3ForTests) -> None:
    store = ObjectStore(target_at(s3.endpoint, "not-there"))
    with pytest.raises(Misconfigured, match=r"not-there.*create the bucket"):
        store.check()
    store.client.close()


@pytest.mark.parametrize(
    ("code", "advice"),
    [
        ("InvalidAccessKeyId", "check STORAGE_ACCESS_KEY_ID"),
        ("SignatureDoesNotMatch", "check STORAGE_SECRET_ACCESS_KEY"),
        ("AccessDenied", "let the key of STORAGE_ACCESS_KEY_ID read, write"),
    ],
)
def test_check_says_which_setting_is_wrong(
    store: ObjectStore, standin: S3StandIn, code: str, advice: str
) -> None:
    standin.fail_always("PUT", refuse(403, code))
    with pytest.raises(Misconfigured, match=advice):
        store.check()


def test_check_of_an_unreachable_storage_is_an_outage(unused_port: int) -> None:
    store = ObjectStore(target_at(f"http://127.0.0.1:{unused_port}"))
    with pytest.raises(Outage, match="check STORAGE_ENDPOINT"):
        store.check()
    store.client.close()


def test_check_explains_an_r2_dev_endpoint() -> None:
    store = ObjectStore(target_at("https://pub-1.r2.dev"), client=object())
    with pytest.raises(Misconfigured, match=r"public URL.*r2\.cloudflarestorage\.com"):
        store.check()


def test_check_tells_of_other_bytes(store: ObjectStore, standin: S3StandIn) -> None:
    def answer(wire, request) -> bool:  # type: ignore[no-untyped-def]
        wire.reply(200, "other")
        return True

    standin.fail_always("GET", answer)
    with pytest.raises(Outage, match="returned other bytes"):
        store.check()
    assert standin.objects == {}


def test_endpoint_that_is_no_url_is_misconfigured() -> None:
    with pytest.raises(Misconfigured, match="STORAGE_ENDPOINT is no URL"):
        ObjectStore(target_at("not a url"))


def test_bucket_name_that_cannot_be_is_refused(s3: S3ForTests) -> None:
    store = ObjectStore(target_at(s3.endpoint, "a bucket/x"))
    with pytest.raises(Outage, match="correct the setting that names the bucket"):
        store.head("a")
    store.client.close()
