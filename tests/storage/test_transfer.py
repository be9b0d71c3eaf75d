"""What a transfer stores, in which requests, against a full server and a strict one."""

from __future__ import annotations

import hashlib
import ssl
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest

from tests.storage.conftest import KEY, Send, send_with, target_at
from tests.storage.s3_standin import S3StandIn, with_etag
from tests.storage.sources import (
    KIB,
    MIB,
    MemorySource,
    random_bytes,
    source_of,
    source_without_length,
)
from tests.support.buckets import S3ForTests
from tests.support.wait import wait_until
from worker.errors import Outage
from worker.storage import BadKey, ObjectStore, Transfer

SIZES = [1, 64 * KIB, 64 * KIB + 1, 5 * MIB, 5 * MIB + 1, 10 * MIB, 11 * MIB]


@pytest.fixture
def send_in_real_sizes() -> Send:
    """The full server takes parts of 5 MiB at least."""
    transfer = Transfer(
        multipart_threshold=5 * MIB, part_size=5 * MIB, unknown_part_size=5 * MIB, block=64 * KIB
    )
    return partial(send_with, transfer)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("known", [True, False])
def test_body_is_stored_whole(
    send_in_real_sizes: Send, bucket: ObjectStore, s3: S3ForTests, size: int, known: bool
) -> None:
    body = random_bytes(size)
    stored = send_in_real_sizes(MemorySource(body, size if known else None), bucket)
    assert s3.read(bucket.target.bucket, KEY) == body
    assert (stored.bytes, stored.sha256) == (size, hashlib.sha256(body).hexdigest())
    assert s3.open_uploads(bucket.target.bucket) == []


@pytest.mark.parametrize("length", [0, None])
def test_empty_body_is_stored_after_the_claim_was_checked(
    send: Send, store: ObjectStore, standin: S3StandIn, length: int | None
) -> None:
    seen: list[list[str]] = []
    send(MemorySource(b"", length), store, may_finish=lambda: seen.append(standin.methods()))
    assert seen == [[]]
    assert standin.objects[f"/bucket/{KEY}"].body == b""


@pytest.mark.parametrize("size", [300 * KIB, 6 * MIB])
def test_object_has_its_content_type_and_cache_control(
    send_in_real_sizes: Send, bucket: ObjectStore, s3: S3ForTests, size: int
) -> None:
    stored = send_in_real_sizes(source_of(random_bytes(size)), bucket)
    found = s3.head(bucket.target.bucket, KEY)
    assert (found["ContentType"], found["CacheControl"]) == ("audio/mpeg", "public, max-age=60")
    assert (stored.content_type, stored.etag) == ("audio/mpeg", found["ETag"].strip('"'))


def test_small_body_is_one_put_with_signed_headers(
    send: Send, store: ObjectStore, standin: S3StandIn
) -> None:
    send(source_of(random_bytes(300 * KIB)), store)
    (put,) = standin.requests
    assert put.method == "PUT"
    assert put.signed_headers == {"cache-control", "content-length", "content-type", "host"}
    assert "expect" not in put.headers
    assert standin.connections == 1


@pytest.mark.parametrize("etag", ["opaque", f"{'0' * 32}-1", ""])
def test_object_whose_etag_proves_nothing_is_looked_at(
    send: Send, store: ObjectStore, standin: S3StandIn, etag: str
) -> None:
    standin.fail_always("PUT", with_etag(standin, etag))
    send(source_of(random_bytes(300 * KIB)), store)
    assert standin.methods() == ["PUT", "HEAD"]


def test_object_whose_md5_was_not_computed_is_looked_at(
    store: ObjectStore, standin: S3StandIn
) -> None:
    send_with(Transfer(compare_md5=False), source_of(random_bytes(300 * KIB)), store)
    assert standin.methods() == ["PUT", "HEAD"]


def test_object_in_parts_is_looked_at(send: Send, store: ObjectStore, standin: S3StandIn) -> None:
    send(source_of(random_bytes(900 * KIB)), store)
    assert standin.methods() == ["POST", *["PUT"] * 5, "POST", "HEAD"]


def test_large_body_goes_in_parts_of_equal_size(
    send: Send, store: ObjectStore, standin: S3StandIn
) -> None:
    send(source_of(random_bytes(900 * KIB)), store)
    assert standin.part_sizes == [200 * KIB] * 4 + [100 * KIB]


def test_body_of_unknown_length_goes_in_parts_of_equal_size(
    send: Send, store: ObjectStore, standin: S3StandIn
) -> None:
    send(source_without_length(random_bytes(600 * KIB), at_most=7777), store)
    assert standin.part_sizes == [256 * KIB, 256 * KIB, 88 * KIB]


def test_body_of_unknown_length_that_fits_one_part_is_one_put(
    send: Send, store: ObjectStore, standin: S3StandIn
) -> None:
    send(source_without_length(random_bytes(256 * KIB)), store)
    assert standin.methods() == ["PUT"]


def test_parts_grow_where_too_many_would_be_needed(
    standin: S3StandIn, store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    transfer = Transfer(multipart_threshold=0, part_size=1)
    monkeypatch.setattr("worker.storage.transfer.MOST_PARTS", 4)
    send_with(transfer, source_of(random_bytes(10)), store)
    assert standin.part_sizes == [3, 3, 3, 1]


@pytest.mark.parametrize("size", [300 * KIB, 900 * KIB])
@pytest.mark.parametrize("known", [True, False])
def test_checks_come_in_order_and_before_the_object_is_visible(
    send: Send, store: ObjectStore, standin: S3StandIn, size: int, known: bool
) -> None:
    order: list[str] = []
    body = random_bytes(size)

    def note(what: str) -> None:
        order.append(what if not standin.objects else "too late")

    send(
        MemorySource(body, size if known else None),
        store,
        complete=lambda: note("complete"),
        may_finish=lambda: note("may finish"),
    )
    assert order == ["complete", "may finish"]


def test_most_of_a_single_put_is_on_its_way_when_the_claim_is_checked(
    send: Send, store: ObjectStore, standin: S3StandIn
) -> None:
    """Otherwise the check would come long before the object is visible."""
    send(
        source_of(random_bytes(500 * KIB)),
        store,
        may_finish=lambda: wait_until(lambda: standin.methods() == ["PUT"], message="the PUT"),
    )


def test_at_most_so_many_bodies_of_unknown_length_are_read_at_once(store: ObjectStore) -> None:
    transfer = Transfer(unknown_at_once=2, unknown_part_size=64 * KIB, block=16 * KIB)
    reading, most, lock = set[int](), [0], threading.Lock()
    both = threading.Barrier(2)

    class Watched(MemorySource):
        def readinto(self, buffer: memoryview) -> int:
            with lock:
                first = id(self) not in reading
                reading.add(id(self))
                most[0] = max(most[0], len(reading))
            if first:
                both.wait(5)  # two do read at once
            return super().readinto(buffer)

    def run(number: int) -> None:
        source = Watched(random_bytes(100 * KIB), None)

        def done() -> None:
            with lock:
                reading.discard(id(source))

        send_with(transfer, source, store, key=f"k{number}", may_finish=done)

    with ThreadPoolExecutor(6) as threads:
        list(threads.map(run, range(6)))
    assert most == [2]


def test_one_transfer_serves_many_threads(
    transfer: Transfer, bucket: ObjectStore, s3: S3ForTests
) -> None:
    bodies = {f"key-{number}": random_bytes(200_000 + number) for number in range(16)}
    with ThreadPoolExecutor(8) as threads:
        list(
            threads.map(
                lambda key: send_with(transfer, source_of(bodies[key]), bucket, key=key), bodies
            )
        )
    assert all(s3.read(bucket.target.bucket, key) == body for key, body in bodies.items())


def test_hostile_key_is_refused_before_anything_is_read(send: Send, store: ObjectStore) -> None:
    source = source_of(b"data")
    with pytest.raises(BadKey):
        send(source, store, key="a/../b")
    assert source.given == 0


@pytest.mark.parametrize("size", [1, 500 * KIB])
def test_body_goes_over_tls(
    server_tls: ssl.SSLContext, client_tls: ssl.SSLContext, size: int
) -> None:
    with S3StandIn(tls=server_tls) as standin:
        store = ObjectStore(target_at(standin.endpoint))
        send_with(Transfer(tls=client_tls, block=64 * KIB), source_of(random_bytes(size)), store)
        assert standin.objects[f"/bucket/{KEY}"].body == random_bytes(size)
        assert standin.connections == 1


def test_certificate_that_does_not_verify_is_an_outage_that_says_so(
    server_tls: ssl.SSLContext, send: Send
) -> None:
    with S3StandIn(tls=server_tls) as standin:
        store = ObjectStore(target_at(standin.endpoint))
        with pytest.raises(Outage, match="certificate"):
            send(source_of(b"data"), store)
