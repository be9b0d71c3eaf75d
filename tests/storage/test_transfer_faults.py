"""Whatever goes wrong: the right kind of error, nothing visible, no upload left open."""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable

import pytest

from tests.storage.conftest import KEY, Send, send_with, target_at
from tests.storage.s3_standin import (
    Fault,
    Request,
    S3StandIn,
    Wire,
    lie_about_etag,
    never_answer,
    refuse,
    refuse_early,
    reset_within_body,
    with_etag,
)
from tests.storage.sources import KIB, MIB, MemorySource, random_bytes, source_of
from tests.support.buckets import S3ForTests
from worker.errors import ClaimLost, Gone, Outage, Permanent, Temporary, WorkError
from worker.storage import ObjectStore, Transfer

SMALL, LARGE = 300 * KIB, 900 * KIB

each_path = pytest.mark.parametrize(
    ("size", "known"),
    [(SMALL, True), (LARGE, True), (100 * KIB, False), (LARGE, False)],
    ids=["single", "parts", "unknown-single", "unknown-parts"],
)


def source(size: int, known: bool, body: int | None = None) -> MemorySource:
    return MemorySource(random_bytes(size if body is None else body), size if known else None)


def raiser(error: Exception) -> Callable[[], None]:
    def raise_it() -> None:
        raise error

    return raise_it


def assert_nothing_is_left(bucket: ObjectStore, s3: S3ForTests) -> None:
    assert s3.keys(bucket.target.bucket) == []
    assert s3.open_uploads(bucket.target.bucket) == []


@each_path
@pytest.mark.parametrize("check", ["may_finish", "complete"])
def test_failed_check_leaves_nothing(
    send: Send, bucket: ObjectStore, s3: S3ForTests, size: int, known: bool, check: str
) -> None:
    lost = ClaimLost("taken over")
    with pytest.raises(ClaimLost) as caught:
        send(source(size, known), bucket, **{check: raiser(lost)})
    assert caught.value is lost
    assert_nothing_is_left(bucket, s3)


@each_path
def test_lost_claim_leaves_the_object_that_another_run_put_there(
    send: Send, bucket: ObjectStore, s3: S3ForTests, size: int, known: bool
) -> None:
    def taken_over() -> None:
        bucket.put_small(KEY, b"theirs", content_type="audio/mpeg")
        raise ClaimLost("taken over")

    with pytest.raises(ClaimLost):
        send(source(size, known), bucket, may_finish=taken_over)
    assert s3.read(bucket.target.bucket, KEY) == b"theirs"


@each_path
def test_error_of_the_source_passes_through(
    send: Send, bucket: ObjectStore, s3: S3ForTests, size: int, known: bool
) -> None:
    gone = Gone("the provider says 410")
    failing = source(size, known, body=size - 1)
    failing.failure = gone
    with pytest.raises(Gone) as caught:
        send(failing, bucket)
    assert caught.value is gone
    assert_nothing_is_left(bucket, s3)


@pytest.mark.parametrize("size", [SMALL, LARGE])
@pytest.mark.parametrize("missing", [1, 150 * KIB])
def test_truncated_source_leaves_nothing(
    send: Send, bucket: ObjectStore, s3: S3ForTests, size: int, missing: int
) -> None:
    with pytest.raises(Temporary, match=rf"after {size - missing} bytes \(it promised {size}\)"):
        send(source(size, True, body=size - missing), bucket)
    assert_nothing_is_left(bucket, s3)


@pytest.mark.parametrize("size", [0, SMALL, LARGE])
def test_source_that_sends_more_than_promised_leaves_nothing(
    send: Send, bucket: ObjectStore, s3: S3ForTests, size: int
) -> None:
    with pytest.raises(Temporary, match="more than it promised"):
        send(source(size, True, body=size + 1), bucket)
    assert_nothing_is_left(bucket, s3)


def test_no_connection_is_made_before_the_source_gave_a_block(
    send: Send, store: ObjectStore, standin: S3StandIn
) -> None:
    with pytest.raises(Gone):
        send(MemorySource(b"", 10, failure=Gone("404")), store)
    assert standin.connections == 0


OUTAGES: list[tuple[Fault, str]] = [
    (reset_within_body, "cut the connection"),
    (refuse(503, "SlowDown", "Please reduce your request rate."), "503 SlowDown: Please reduce"),
    (refuse(500, "InternalError"), "500 InternalError"),
    (refuse(429, "TooManyRequests"), "429"),
    (refuse(401, "Unauthorized"), "check STORAGE_ACCESS_KEY_ID and"),
    (refuse(403, "SignatureDoesNotMatch"), "check STORAGE_SECRET_ACCESS_KEY"),
    (refuse(403, "InvalidAccessKeyId"), "check STORAGE_ACCESS_KEY_ID"),
    (refuse(404, "NoSuchBucket"), "create the bucket"),
    (refuse(301, "PermanentRedirect"), "check STORAGE_REGION"),
    (lie_about_etag, "stored other bytes"),
    (refuse_early(403, "AccessDenied", close=True), "403 AccessDenied"),
    (refuse_early(403, "AccessDenied", close=False), "403 AccessDenied"),
]


@pytest.mark.parametrize("size", [SMALL, LARGE])
@pytest.mark.parametrize(("fault", "message"), OUTAGES)
def test_failing_storage_is_an_outage(
    send: Send, store: ObjectStore, standin: S3StandIn, size: int, fault: Fault, message: str
) -> None:
    standin.fail_always("PUT", fault)
    with pytest.raises(Outage, match=message) as caught:
        send(source(size, True), store)
    assert caught.value.service == "storage"
    assert standin.objects == {} and standin.uploads == {}


def test_early_refusal_is_read_while_a_large_body_is_on_its_way(
    store: ObjectStore, standin: S3StandIn
) -> None:
    """The storage says no, keeps the connection open and never reads on."""
    standin.fail_always("PUT", refuse_early(403, "AccessDenied", close=False))
    sent = source_of(random_bytes(20 * MIB), at_most=MIB)
    begun = time.monotonic()
    with pytest.raises(Outage, match="403 AccessDenied"):
        send_with(Transfer(request_timeout=2), sent, store)
    assert sent.given < 20 * MIB
    assert time.monotonic() - begun < 4


def test_early_refusal_over_tls_is_read(
    server_tls: ssl.SSLContext, client_tls: ssl.SSLContext
) -> None:
    with S3StandIn(tls=server_tls) as standin:
        standin.fail_always("PUT", refuse_early(403, "AccessDenied", close=False))
        store = ObjectStore(target_at(standin.endpoint))
        with pytest.raises(Outage, match="403 AccessDenied"):
            transfer = Transfer(tls=client_tls, request_timeout=2)
            send_with(transfer, source_of(random_bytes(20 * MIB)), store)


@pytest.mark.parametrize("status", [200, 204])
def test_early_success_is_not_believed(
    send: Send, store: ObjectStore, standin: S3StandIn, status: int
) -> None:
    def too_early(wire: Wire, request: Request) -> bool:
        wire.reply(status, ETag='"etag"')
        return True

    standin.fail_always("PUT", too_early)
    with pytest.raises(Outage):
        send_with(Transfer(), source_of(random_bytes(20 * MIB)), store)


def test_interim_answers_are_passed_over(
    send: Send, store: ObjectStore, standin: S3StandIn
) -> None:
    def interim(wire: Wire, request: Request) -> bool:
        wire.sock.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        return False

    standin.fail_always("PUT", interim)
    assert send(source(SMALL, True), store).bytes == SMALL


def test_storage_that_never_answers_is_an_outage_in_time(
    store: ObjectStore, standin: S3StandIn
) -> None:
    standin.fail_always("PUT", never_answer)
    with pytest.raises(Outage, match="did not answer in time"):
        send_with(Transfer(request_timeout=0.3), source(SMALL, True), store)


def test_unreachable_storage_is_an_outage(send: Send, unused_port: int) -> None:
    store = ObjectStore(target_at(f"http://127.0.0.1:{unused_port}"))
    with pytest.raises(Outage, match="refuses connections; if that lasts, check STORAGE_ENDPOINT"):
        send(source(SMALL, True), store)


@pytest.mark.parametrize(("header", "seconds"), [("7", 7.0), ("999999", 3600.0), ("soon", None)])
def test_retry_after_is_read_and_clamped(
    send: Send, store: ObjectStore, standin: S3StandIn, header: str, seconds: float | None
) -> None:
    standin.fail_always("PUT", refuse(503, "SlowDown", Retry_After=header))
    with pytest.raises(Outage) as caught:
        send(source(SMALL, True), store)
    assert caught.value.retry_after == seconds


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (refuse(413, "EntityTooLarge"), "raise its limit"),
        (refuse(400, "EntityTooLarge"), "raise its limit"),
        (refuse(415, "InvalidMimeType"), "allow it in the bucket"),
    ],
)
def test_object_that_the_storage_can_never_take_is_permanent(
    send: Send, store: ObjectStore, standin: S3StandIn, fault: Fault, message: str
) -> None:
    standin.fail_always("PUT", fault)
    with pytest.raises(Permanent, match=message):
        send(source(SMALL, True), store)


@pytest.mark.parametrize("fault", [refuse(404, "NoSuchUpload"), refuse(400, "RequestTimeout")])
def test_interference_and_a_stalling_source_are_temporary(
    send: Send, store: ObjectStore, standin: S3StandIn, fault: Fault
) -> None:
    standin.fail_always("PUT", fault)
    with pytest.raises(Temporary):
        send(source(LARGE, True), store)


def test_object_of_another_size_afterwards_is_an_outage(
    send: Send, store: ObjectStore, standin: S3StandIn
) -> None:
    def other_size(wire: Wire, request: Request) -> bool:
        wire.reply(200, Content_Length="5")
        return True

    standin.fail_always("PUT", with_etag(standin, "opaque"))
    standin.fail_always("HEAD", other_size)
    with pytest.raises(Outage, match=f"stored 5 bytes of {SMALL}"):
        send(source(SMALL, True), store)


def test_etag_of_an_encrypted_object_is_no_md5(
    send: Send, store: ObjectStore, standin: S3StandIn
) -> None:
    encrypted = with_etag(standin, "0" * 32, x_amz_server_side_encryption="aws:kms")
    standin.fail_always("PUT", encrypted)
    assert send(source(SMALL, True), store).etag == "0" * 32
    assert standin.methods() == ["PUT", "HEAD"]


def test_connection_that_the_storage_closes_after_each_answer_is_opened_anew(
    send: Send, store: ObjectStore, standin: S3StandIn
) -> None:
    def close_after(wire: Wire, request: Request) -> bool:
        request.body = wire.read(request.length)
        standin._put(wire, request)
        raise ConnectionError

    standin.fail_always("PUT", close_after)
    assert send(source(LARGE, True), store).bytes == LARGE
    assert standin.part_sizes == [200 * KIB] * 4 + [100 * KIB]


@pytest.mark.parametrize("fault", [refuse(500, "InternalError"), refuse(503, "SlowDown")])
def test_failed_completion_leaves_no_open_upload(
    send: Send, store: ObjectStore, standin: S3StandIn, fault: Fault
) -> None:
    def completion_only(wire: Wire, request: Request) -> bool:
        return "uploadId" in request.query and fault(wire, request)

    standin.fail_always("POST", completion_only)
    with pytest.raises(Outage):
        send(source(LARGE, True), store)
    assert standin.uploads == {} and standin.objects == {}


def test_upload_that_cannot_be_aborted_is_noted_on_the_first_error(
    send: Send, store: ObjectStore, standin: S3StandIn
) -> None:
    standin.fail_always("DELETE", refuse(403, "AccessDenied"))
    with pytest.raises(ClaimLost) as caught:
        send(source(LARGE, True), store, may_finish=raiser(ClaimLost("taken over")))
    assert "stays open" in caught.value.__notes__[0]


def test_upload_that_a_killed_process_left_is_found_and_aborted(
    send: Send, bucket: ObjectStore, s3: S3ForTests
) -> None:
    bucket.create_multipart(KEY, content_type="audio/mpeg", cache_control=None)
    send(source(SMALL, True), bucket)
    assert bucket.abort_uploads(KEY) == 1
    assert s3.open_uploads(bucket.target.bucket) == []
    assert s3.keys(bucket.target.bucket) == [KEY]


def test_no_request_begins_after_the_time_is_over(
    send: Send, store: ObjectStore, standin: S3StandIn
) -> None:
    with pytest.raises(Temporary, match="took too long"):
        send(source(SMALL, True), store, expires_in=0)
    assert standin.requests == []


@pytest.mark.parametrize("size", [SMALL, LARGE])
@pytest.mark.parametrize(
    "fault",
    [
        reset_within_body,
        lie_about_etag,
        refuse(503, "SlowDown", "see http://h/b?X-Amz-Signature=0a1b X-Amz-Signature=0a1b"),
        refuse(403, "SignatureDoesNotMatch", "X-Amz-Signature=0a1b"),
    ],
)
def test_no_error_shows_a_signature(
    send: Send, store: ObjectStore, standin: S3StandIn, size: int, fault: Fault
) -> None:
    standin.fail_always("PUT", fault)
    with pytest.raises(WorkError) as caught:
        send(source(size, True), store)
    error: BaseException | None = caught.value
    while error:
        assert "Signature=" not in f"{error} {error!r}"
        assert "the-secret" not in str(error)
        error = error.__cause__ or error.__context__


def test_md5_is_compared_unless_switched_off(store: ObjectStore, standin: S3StandIn) -> None:
    standin.fail_always("PUT", with_etag(standin, "0" * 32))
    with pytest.raises(Outage, match="MD5 differs"):
        send_with(Transfer(), source(SMALL, True), store)
    assert send_with(Transfer(compare_md5=False), source(SMALL, True), store).bytes == SMALL
