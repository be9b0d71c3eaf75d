"""Files of this machine, whose digests are known, on their way to a storage."""

from __future__ import annotations

import hashlib
import os
import ssl
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.storage.conftest import KEY, send_with, target_at
from tests.storage.s3_standin import S3StandIn, refuse_early, with_etag
from tests.storage.sources import KIB, MIB, random_bytes
from tests.support.buckets import S3ForTests
from worker.errors import ClaimLost, Outage, Temporary
from worker.storage import ObjectStore, SpooledFile, Stored, Transfer

SIZES = [0, 1, 64 * KIB, 64 * KIB + 1, 300 * KIB, 512 * KIB, 900 * KIB]
SMALL, LARGE = 2 * KIB, 300 * KIB
Spool = Callable[..., SpooledFile]


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    """Makes a file with these bytes."""
    files: list[int] = []

    def make(body: bytes, **changes: str) -> SpooledFile:
        path = tmp_path / "spool"
        path.write_bytes(body)
        files.append(os.open(path, os.O_RDWR))
        digests = {
            "sha256": hashlib.sha256(body).hexdigest(),
            "md5": hashlib.md5(body).hexdigest(),
        }
        return SpooledFile(files[-1], len(body), **digests | changes)

    yield make
    for file in files:
        os.close(file)


@pytest.fixture(params=["http", "https"])
def secure(
    request: pytest.FixtureRequest,
    certificate: Path,
    server_tls: ssl.SSLContext,
    client_tls: ssl.SSLContext,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[tuple[S3StandIn, ObjectStore, Transfer]]:
    """A storage with and without TLS."""
    monkeypatch.setenv("AWS_CA_BUNDLE", str(certificate))
    over_tls = request.param == "https"
    with S3StandIn(tls=server_tls if over_tls else None) as standin:
        yield standin, ObjectStore(target_at(standin.endpoint)), small_sizes(client_tls)


def small_sizes(tls: ssl.SSLContext | None = None) -> Transfer:
    return Transfer(
        multipart_threshold=512 * KIB,
        part_size=200 * KIB,
        block=64 * KIB,
        request_timeout=5,
        tls=tls,
    )


@pytest.mark.parametrize("size", SIZES)
def test_file_is_stored_whole(
    secure: tuple[S3StandIn, ObjectStore, Transfer], spool: Spool, size: int
) -> None:
    standin, store, transfer = secure
    body = random_bytes(size)
    stored = send_with(transfer, spool(body), store)
    found = standin.objects[f"/bucket/{KEY}"]
    assert found.body == body
    assert stored == Stored(size, hashlib.sha256(body).hexdigest(), found.etag, "audio/mpeg")


@pytest.mark.parametrize("size", [5 * MIB, 11 * MIB])
def test_file_is_stored_on_a_full_server(
    bucket: ObjectStore, s3: S3ForTests, spool: Spool, size: int
) -> None:
    transfer = Transfer(multipart_threshold=5 * MIB, part_size=5 * MIB)
    send_with(transfer, spool(random_bytes(size)), bucket)
    assert s3.read(bucket.target.bucket, KEY) == random_bytes(size)


@pytest.mark.parametrize("size", [SMALL, LARGE])
def test_nothing_is_computed_of_a_file_again(
    store: ObjectStore, standin: S3StandIn, spool: Spool, size: int
) -> None:
    file = spool(random_bytes(size), sha256="known before")
    assert send_with(small_sizes(), file, store).sha256 == "known before"
    assert standin.methods() == ["PUT"]
    with pytest.raises(Outage, match="MD5 differs"):
        send_with(small_sizes(), spool(random_bytes(size), md5="0" * 32), store)


def test_file_whose_etag_proves_nothing_is_looked_at(
    store: ObjectStore, standin: S3StandIn, spool: Spool
) -> None:
    standin.fail_always("PUT", with_etag(standin, "opaque"))
    send_with(small_sizes(), spool(random_bytes(LARGE)), store)
    assert standin.methods() == ["PUT", "HEAD"]


def test_many_transfers_share_a_file(store: ObjectStore, standin: S3StandIn, spool: Spool) -> None:
    body, transfer = random_bytes(LARGE), small_sizes()
    file = spool(body)

    def send(number: int) -> None:
        mine = SpooledFile(file.fileno(), file.length, file.sha256, file.md5)
        send_with(transfer, mine, store, key=f"k{number}")

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(send, range(8)))
    assert [found.body for found in standin.objects.values()] == [body] * 8


@pytest.mark.parametrize("size", [SMALL, LARGE, 900 * KIB])
def test_file_that_became_shorter_is_not_stored(
    secure: tuple[S3StandIn, ObjectStore, Transfer], spool: Spool, size: int
) -> None:
    standin, store, transfer = secure
    file = spool(random_bytes(size))
    os.truncate(file.fileno(), size - 1)
    with pytest.raises(Temporary, match=r"shorter|ended early"):
        send_with(transfer, file, store)
    assert standin.objects == {} and standin.uploads == {}


@pytest.mark.parametrize("size", [SMALL, LARGE, 900 * KIB])
def test_file_is_not_visible_when_the_claim_is_lost(
    store: ObjectStore, standin: S3StandIn, spool: Spool, size: int
) -> None:
    order: list[str] = []

    def taken_over() -> None:
        order.append("may finish")
        raise ClaimLost("taken over")

    with pytest.raises(ClaimLost):
        send_with(
            small_sizes(),
            spool(random_bytes(size)),
            store,
            complete=lambda: order.append("complete"),
            may_finish=taken_over,
        )
    assert order == ["complete", "may finish"]
    assert standin.objects == {} and standin.uploads == {}


@pytest.mark.parametrize("size", [LARGE, 900 * KIB])
def test_file_is_stopped_on_its_way(
    store: ObjectStore, standin: S3StandIn, spool: Spool, size: int
) -> None:
    blocks: list[int] = []

    def going_on() -> None:
        blocks.append(1)
        if len(blocks) == 3:
            raise ClaimLost("stopped")

    with pytest.raises(ClaimLost, match="stopped"):
        send_with(small_sizes(), spool(random_bytes(size)), store, going_on=going_on)
    assert standin.objects == {} and standin.uploads == {}


def test_file_goes_over_a_new_connection_when_the_storage_hangs_up(
    store: ObjectStore, standin: S3StandIn, spool: Spool
) -> None:
    transfer = small_sizes()
    send_with(transfer, spool(random_bytes(SMALL)), store, key="first")

    def hang_up(*_: object) -> bool:
        raise ConnectionError

    standin.fail_once("PUT", hang_up)
    send_with(transfer, spool(random_bytes(LARGE)), store)
    assert standin.objects[f"/bucket/{KEY}"].body == random_bytes(LARGE)
    assert standin.connections == 2


def test_early_refusal_is_read_while_a_file_is_on_its_way(
    secure: tuple[S3StandIn, ObjectStore, Transfer], spool: Spool, client_tls: ssl.SSLContext
) -> None:
    standin, store, _ = secure
    standin.fail_always("PUT", refuse_early(403, "AccessDenied", close=False))
    begun = time.monotonic()
    with pytest.raises(Outage, match="403 AccessDenied"):
        transfer = Transfer(request_timeout=2, tls=client_tls)
        send_with(transfer, spool(random_bytes(20 * MIB)), store)
    assert time.monotonic() - begun < 4


def test_reading_goes_on_at_a_position_of_its_own(spool: Spool) -> None:
    file = spool(b"abcdef")
    os.lseek(file.fileno(), 4, os.SEEK_SET)
    room = memoryview(bytearray(4))
    assert (file.readinto(room), bytes(room)) == (4, b"abcd")
    assert (file.readinto(room), bytes(room[:2])) == (2, b"ef")
    assert file.readinto(room) == 0
    assert os.lseek(file.fileno(), 0, os.SEEK_CUR) == 4
