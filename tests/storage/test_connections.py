"""Connections are kept from object to object, and none is lost to one that the storage closes."""

from __future__ import annotations

import gc
import socket
import ssl
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.storage.conftest import KEY, Send, send_with, target_at
from tests.storage.s3_standin import (
    Fault,
    Request,
    S3StandIn,
    Wire,
    refuse,
    refuse_early,
    with_etag,
)
from tests.storage.sources import KIB, MemorySource, random_bytes, source_of
from worker.errors import ClaimLost, Outage
from worker.storage import ObjectStore, Transfer, connections

SMALL, LARGE = 2 * KIB, 300 * KIB


def silently_closing(standin: S3StandIn) -> None:
    """The storage hangs up after each answer, without announcing it."""

    def close_after(wire: Wire, request: Request) -> bool:
        request.body = wire.read(request.length)
        getattr(standin, f"_{request.method.lower()}")(wire, request)
        raise ConnectionError

    standin.faults.append(close_after)


def hanging_up_on_the_second(standin: S3StandIn) -> None:
    """The storage closes each connection when the second request comes, before it is read."""
    seen: set[int] = set()

    def hang_up(wire: Wire, request: Request) -> bool:
        if id(wire) in seen:
            standin.requests.pop()
            raise ConnectionError
        seen.add(id(wire))
        wires.append(wire)  # so that no other gets the same id
        return False

    wires: list[Wire] = []
    standin.faults.append(hang_up)


def test_one_connection_serves_many_objects(
    send: Send, store: ObjectStore, standin: S3StandIn
) -> None:
    for number in range(5):
        send(source_of(random_bytes(SMALL)), store, key=f"k{number}")
    assert len(standin.objects) == 5
    assert standin.connections == 1


def test_one_connection_serves_many_objects_over_tls(
    server_tls: ssl.SSLContext, client_tls: ssl.SSLContext
) -> None:
    with S3StandIn(tls=server_tls) as standin:
        store, transfer = ObjectStore(target_at(standin.endpoint)), Transfer(tls=client_tls)
        for number in range(5):
            send_with(transfer, source_of(random_bytes(SMALL)), store, key=f"k{number}")
        assert (len(standin.objects), standin.connections) == (5, 1)


def test_look_at_an_object_goes_over_the_connection_of_its_body(
    send: Send, store: ObjectStore, standin: S3StandIn
) -> None:
    standin.fail_always("PUT", with_etag(standin, "opaque"))
    send(source_of(random_bytes(LARGE)), store)
    assert (standin.methods(), standin.connections) == (["PUT", "HEAD"], 1)


@pytest.mark.parametrize("known", [True, False])
def test_object_goes_over_a_new_connection_when_the_storage_hangs_up(
    send: Send, store: ObjectStore, standin: S3StandIn, known: bool
) -> None:
    hanging_up_on_the_second(standin)
    for number in range(4):
        body = random_bytes(SMALL)
        send(MemorySource(body, SMALL if known else None), store, key=f"k{number}")
    assert len(standin.objects) == 4
    assert standin.methods() == ["PUT"] * 4


def test_objects_are_stored_where_each_answer_ends_the_connection(
    send: Send, store: ObjectStore, standin: S3StandIn
) -> None:
    silently_closing(standin)
    for number in range(8):
        size = LARGE if number % 2 else SMALL
        send(source_of(random_bytes(size)), store, key=f"k{number}")
    assert len(standin.objects) == 8


def test_claim_is_asked_for_again_before_an_object_is_sent_again(
    send: Send, store: ObjectStore, standin: S3StandIn
) -> None:
    hanging_up_on_the_second(standin)
    send(source_of(random_bytes(SMALL)), store, key="first")
    asked: list[int] = []

    def may_finish() -> None:
        asked.append(len(asked))
        if len(asked) == 2:
            raise ClaimLost("taken over meanwhile")

    with pytest.raises(ClaimLost):
        send(source_of(random_bytes(SMALL)), store, may_finish=may_finish)
    assert list(standin.objects) == ["/bucket/first"]


def test_body_that_comes_by_once_never_meets_a_kept_connection(
    send: Send, store: ObjectStore, standin: S3StandIn
) -> None:
    for number in range(3):
        send(source_of(random_bytes(LARGE)), store, key=f"k{number}")
    assert standin.connections == 3


def test_only_the_newest_connection_is_kept_of_bodies_that_came_by_once(
    send: Send, store: ObjectStore, standin: S3StandIn
) -> None:
    hung_up: list[bytes] = []

    def watch(wire: Wire, request: Request) -> bool:
        watched.append(wire.sock)
        return False

    watched: list[socket.socket] = []
    standin.faults.append(watch)
    for number in range(3):
        send(source_of(random_bytes(LARGE)), store, key=f"k{number}")
    for sock in watched[:2]:
        if sock.fileno() >= 0:
            sock.settimeout(5)
            hung_up.append(sock.recv(1))
    assert set(hung_up) <= {b""}
    send(source_of(random_bytes(SMALL)), store)
    assert standin.connections == 3


@pytest.mark.parametrize("close", [True, False])
def test_connection_is_not_used_again_after_an_early_refusal(
    send: Send, store: ObjectStore, standin: S3StandIn, close: bool
) -> None:
    standin.fail_once("PUT", refuse_early(403, "AccessDenied", close=close))
    with pytest.raises(Outage):
        send(source_of(random_bytes(LARGE)), store)
    send(source_of(random_bytes(SMALL)), store)
    assert standin.connections == 2


def test_refusal_of_a_whole_body_leaves_the_connection_usable(
    send: Send, store: ObjectStore, standin: S3StandIn
) -> None:
    standin.fail_once("PUT", refuse(503, "SlowDown"))
    with pytest.raises(Outage):
        send(source_of(random_bytes(SMALL)), store)
    send(source_of(random_bytes(SMALL)), store)
    assert (len(standin.objects), standin.connections) == (1, 1)


def test_connection_with_bytes_that_nobody_asked_for_is_not_used_again(
    send: Send, store: ObjectStore, standin: S3StandIn
) -> None:
    def two_answers(wire: Wire, request: Request) -> bool:
        request.body = wire.read(request.length)
        standin._put(wire, request)
        wire.reply(503)
        return True

    standin.fail_once("PUT", two_answers)
    send(source_of(random_bytes(SMALL)), store)
    send(source_of(random_bytes(SMALL)), store)
    assert len(standin.requests) == 2


def test_storage_that_says_close_is_taken_at_its_word(
    send: Send, store: ObjectStore, standin: S3StandIn
) -> None:
    standin.fail_always("PUT", with_etag(standin, "opaque", Connection="close"))
    send(source_of(random_bytes(SMALL)), store)
    assert standin.connections == 2


def test_idle_connections_are_closed_in_time(
    send: Send, store: ObjectStore, standin: S3StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "IDLE_SECONDS", -1.0)
    for _ in range(2):
        send(source_of(random_bytes(SMALL)), store)
    assert standin.connections == 2


def test_so_many_connections_are_kept_and_no_more(
    standin: S3StandIn, store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "MOST_KEPT", 2)
    transfer, together = Transfer(), 5

    def send_all() -> None:
        with ThreadPoolExecutor(together) as threads:
            barrier = standin_barrier(standin, together)
            keys = [f"k{number}" for number in range(together)]
            body = random_bytes(SMALL)
            list(threads.map(lambda k: send_with(transfer, source_of(body), store, key=k), keys))
            standin.faults.remove(barrier)

    send_all()
    assert standin.connections == together
    send_all()
    assert standin.connections == 2 * together - 2
    transfer.close()


def standin_barrier(standin: S3StandIn, count: int) -> Fault:
    """So many requests are under way at once."""
    barrier = threading.Barrier(count)

    def wait(wire: Wire, request: Request) -> bool:
        barrier.wait(5)
        return False

    standin.faults.append(wait)
    return wait


def test_closed_transfer_holds_no_connection(standin: S3StandIn, store: ObjectStore) -> None:
    transfer = Transfer()
    send_with(transfer, source_of(random_bytes(SMALL)), store)
    transfer.close()
    send_with(transfer, source_of(random_bytes(SMALL)), store)
    assert standin.connections == 2


def test_forgotten_transfer_closes_its_connections(standin: S3StandIn, store: ObjectStore) -> None:
    transfer = Transfer()
    send_with(transfer, source_of(random_bytes(SMALL)), store)
    with warnings.catch_warnings():
        warnings.simplefilter("error", ResourceWarning)
        del transfer
        gc.collect()


def test_key_is_used_over_a_kept_connection_as_it_stands(
    send: Send, store: ObjectStore, standin: S3StandIn
) -> None:
    send(source_of(b"1"), store, key="other")
    send(source_of(b"2"), store)
    assert standin.objects[f"/bucket/{KEY}"].body == b"2"
