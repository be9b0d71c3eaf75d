"""Requests to a storage keep to a limit over all processes, and to what the storage can take."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import psycopg
import pytest

from tests.storage.conftest import send_with, target_at
from tests.storage.s3_standin import S3StandIn, refuse
from tests.storage.sources import random_bytes, source_of
from tests.support.proxy import DatabaseProxy
from tests.support.wait import wait_until
from worker.db.pool import Database
from worker.errors import Busy, ClaimLost, Outage
from worker.storage import ObjectStore, Transfer
from worker.storage.failures import Refusal
from worker.storage.rates import Grant, SharedRates
from worker.storage.throttle import Throttle, giving_way

SERVICE = "cdn:a"
Begin = Callable[..., "Sender"]


class Loop:
    """An event loop in a thread of its own, as a worker process has one."""

    def __enter__(self) -> Loop:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()

    def run(self, coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(10)


class CountedDatabase:
    """The database, with the number of calls."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.calls = 0

    async def call(self, query: str, params: Any = None) -> list[Any]:
        self.calls += 1
        return await self._database.call(query, params)


@dataclass
class Sender:
    """A process's way to one storage."""

    throttle: Throttle
    store: ObjectStore
    database: CountedDatabase
    sent: list[float] = field(default_factory=list)

    def send(self, *, seconds: float, threads: int = 4) -> int:
        """Ask as often as possible; returns how many requests went out in that time."""
        self.sent = []
        end = time.monotonic() + seconds
        with ThreadPoolExecutor(threads) as executor:
            for each in [executor.submit(self._until, end) for _ in range(threads)]:
                each.result()
        return sum(moment <= end for moment in self.sent)

    def _until(self, end: float) -> None:
        while time.monotonic() < end:
            self.throttle.acquire()
            self.sent.append(time.monotonic())


@pytest.fixture
def loop() -> Iterator[Loop]:
    with Loop() as loop:
        yield loop


@pytest.fixture
def begin(loop: Loop, database: str, standin: S3StandIn) -> Iterator[Begin]:
    """Makes a sender with a limit; it is closed with the test."""
    with ExitStack() as stack:

        def begin(limit: float = 0, *, url: str = database) -> Sender:
            async def made() -> Sender:
                own = Database(url)
                counted = CountedDatabase(own)
                throttle = Throttle(SERVICE, SharedRates(counted), limit=limit)
                store = ObjectStore(target_at(standin.endpoint), throttle=throttle)
                stack.callback(store.close)
                stack.callback(lambda: loop.run(own.close()))
                return Sender(throttle, store, counted)

            return loop.run(made())

        yield begin


@pytest.fixture
def sql(database: str) -> Iterator[Callable[..., Any]]:
    with psycopg.connect(database, autocommit=True) as connection:

        def sql(query: str, *params: Any) -> list[tuple[Any, ...]]:
            cursor = connection.execute(query.encode(), params)
            return cursor.fetchall() if cursor.description else []

        yield sql


@contextmanager
def processes(*arguments: str, count: int) -> Iterator[None]:
    command = [sys.executable, "-m", "tests.storage.requester", *arguments]
    started = [subprocess.Popen(command) for _ in range(count)]
    try:
        yield
    finally:
        for process in started:
            process.kill()
            process.wait()


def test_processes_keep_the_limit_together(database: str, standin: S3StandIn) -> None:
    seen: list[float] = []
    standin.faults.append(lambda *_: seen.append(time.monotonic()) is not None)
    with processes(database, standin.endpoint, "40", count=2):
        wait_until(lambda: standin.connections >= 2, timeout=30, message="both to ask")
        begun = len(seen)
        start = time.monotonic()
        wait_until(lambda: time.monotonic() > start + 2)
        count = len(seen) - begun
    assert 60 <= count <= 90


def test_every_request_passes_the_same_gate(begin: Begin, standin: S3StandIn) -> None:
    sender = begin(10)
    started = time.monotonic()
    for number in range(4):
        send_with(Transfer(), source_of(random_bytes(100)), sender.store, key=f"a{number}")
        assert sender.store.head(f"b{number}") is None
        sender.store.delete(f"a{number}")
    assert time.monotonic() - started >= 1.0
    assert Counter(standin.methods()) == {"PUT": 4, "HEAD": 4, "DELETE": 4}


def test_threads_share_the_turns_evenly(begin: Begin) -> None:
    sender = begin(100)
    sent = sender.send(seconds=2, threads=12)
    assert 160 <= sent <= 230
    # some requests for a block of half a second, none for each request
    assert sender.database.calls <= 20


def test_nothing_is_asked_of_the_database_without_a_limit(begin: Begin, sql: Any) -> None:
    sender = begin()
    assert sender.send(seconds=0.2) > 1000
    assert sender.store.head("a") is None
    assert sender.database.calls == 0
    assert sql("select * from media_worker.request_rates") == []


def test_slow_down_halves_what_was_used_in_all_processes(
    begin: Begin, standin: S3StandIn, sql: Any
) -> None:
    sender, other = begin(), begin()
    for _ in range(200):
        sender.throttle.acquire()
    with pytest.raises(Busy, match="503 SlowDown"):
        refused(sender, standin)
    rate = slowed_to(sql)
    assert 95 <= rate <= 115
    assert sender.send(seconds=1) <= 1.1 * rate * 1.1 + 10
    # what another one used comes on top, and it keeps to the rate from now on
    for _ in range(100):
        other.throttle.acquire()
    before = slowed_to(sql)
    with pytest.raises(Busy):
        refused(other, standin)
    wait_until(lambda: slowed_to(sql) > before + 40)
    assert slowed_to(sql) <= 1.3 * before + 60
    assert other.send(seconds=0.5) <= 150


def test_slow_down_halves_a_limit_once_a_second_at_most(
    begin: Begin, standin: S3StandIn, sql: Any
) -> None:
    senders = [begin(40), begin(40)]
    for sender in senders * 3:
        with pytest.raises(Busy, match="429 TooManyRequests"):
            refused(sender, standin, refuse(429, "TooManyRequests"))
    assert 20 <= slowed_to(sql) <= 25
    sent = sum(pair(lambda sender: sender.send(seconds=2), senders))
    assert 30 <= sent <= 65


def test_rate_grows_again_until_the_limit(begin: Begin, standin: S3StandIn, sql: Any) -> None:
    sender = begin(40)
    with pytest.raises(Busy):
        refused(sender, standin)
    wait_until(lambda: slowed_to(sql))
    pass_time(sql, seconds=4)
    sender.send(seconds=0.3)
    assert 27 <= slowed_to(sql) <= 34
    pass_time(sql, seconds=6)
    sender.send(seconds=0.6)
    assert slowed_to(sql) is None
    assert 30 <= sender.send(seconds=1) <= 55


def test_restriction_ends_without_a_limit(begin: Begin, standin: S3StandIn, sql: Any) -> None:
    sender = begin()
    for _ in range(60):
        sender.throttle.acquire()
    with pytest.raises(Busy):
        refused(sender, standin)
    wait_until(lambda: slowed_to(sql))
    pass_time(sql, seconds=12)
    wait_until(lambda: sender.send(seconds=0.3) > 300, message="no limit")
    calls = sender.database.calls
    assert sender.send(seconds=0.2) > 300
    assert sender.database.calls == calls
    assert sql("select * from media_worker.request_rates") == []


def test_storage_is_left_alone_for_as_long_as_it_says(begin: Begin, standin: S3StandIn) -> None:
    sender = begin(40)
    with pytest.raises(Busy) as caught:
        refused(sender, standin, refuse(503, "SlowDown", Retry_After="2"))
    assert caught.value.retry_after == 2
    started = time.monotonic()
    sender.throttle.acquire()
    assert 1.5 <= time.monotonic() - started <= 3


def test_control_calls_learn_too(begin: Begin, standin: S3StandIn, sql: Any) -> None:
    sender = begin(40)
    standin.fail_always("DELETE", refuse(503, "SlowDown", Retry_After="1"))
    with pytest.raises(Busy, match="503 SlowDown"):
        sender.store.delete("a")
    assert standin.methods() == ["DELETE", "DELETE"]  # boto3 tries again
    assert wait_until(lambda: slowed_to(sql)) <= 25


def test_unexplained_503_is_a_slow_down(begin: Begin, standin: S3StandIn, sql: Any) -> None:
    sender = begin(40)
    standin.fail_always("HEAD", lambda wire, _: wire.reply(503) is None)
    with pytest.raises(Busy):
        sender.store.head("a")
    assert slowed_to(sql) <= 25


def test_storage_that_does_nothing_but_refuse_is_out_of_order(loop: Loop) -> None:
    now = [1000.0]
    throttle = Throttle(SERVICE, NoRates(), clock=lambda: now[0])
    slow_down = Refusal(503, "SlowDown")
    assert throttle.heed(slow_down)
    now[0] += 4
    assert not throttle.heed(slow_down)
    throttle.heed(Refusal(200))
    assert throttle.heed(slow_down)
    throttle.heed(Refusal(500, "InternalError"))
    assert not throttle.heed(slow_down)


def test_storage_that_was_out_of_order_has_to_work_once(
    begin: Begin, standin: S3StandIn, unused_port: int
) -> None:
    sender = begin(40)
    gone = ObjectStore(target_at(f"http://127.0.0.1:{unused_port}"), throttle=sender.throttle)
    with pytest.raises(Outage):
        send_with(Transfer(), source_of(random_bytes(100)), gone)
    with pytest.raises(Outage, match="SlowDown"):
        refused(sender, standin)
    assert sender.store.head("a") is None
    with pytest.raises(Busy):
        refused(sender, standin)
    gone.close()


@pytest.mark.parametrize("fault", ["cut", "freeze"])
def test_limit_holds_while_the_database_is_away(begin: Begin, database: str, fault: str) -> None:
    with DatabaseProxy(database) as proxy:
        sender = begin(40, url=proxy.url)
        assert sender.send(seconds=1.5) > 40
        getattr(proxy, fault)()
        assert 30 <= sender.send(seconds=3) <= 140
        proxy.forward()
        calls = sender.database.calls
        wait_until(lambda: sender.send(seconds=0.2) and sender.database.calls > calls + 3)


def test_slow_downs_while_the_database_is_away_are_soon_over_after_it(
    begin: Begin, database: str
) -> None:
    with DatabaseProxy(database) as proxy:
        sender, past = begin(40, url=proxy.url), [0.0]
        sender.throttle._clock = lambda: time.monotonic() + past[0]
        proxy.cut()
        for _ in range(14):
            past[0] += 60  # whatever was put off until then is due
            calls = sender.database.calls
            sender.throttle.heed(Refusal(429))
            wait_until(lambda calls=calls: sender.database.calls > calls)
            wait_until(lambda: sender.throttle._asked is None)
        proxy.forward()
        ends_at = time.monotonic() + 8

        def check_time() -> None:
            assert time.monotonic() < ends_at

        with giving_way(check_time):
            for _ in range(5):
                sender.throttle.acquire()


def test_limit_holds_where_the_database_never_answered(begin: Begin) -> None:
    sender = begin(40, url="postgresql://nobody@127.0.0.1:1/none")
    assert 2 <= sender.send(seconds=2) <= 12


def test_waiting_gives_way(begin: Begin) -> None:
    sender = begin(0.02)
    sender.throttle.acquire()
    stopped = threading.Event()

    def going_on() -> None:
        if stopped.is_set():
            raise ClaimLost("stopped")

    def wait() -> None:
        with giving_way(going_on):
            sender.throttle.acquire()

    with ThreadPoolExecutor(2) as executor:
        waiting = [executor.submit(wait) for _ in range(2)]
        stopped.set()
        started = time.monotonic()
        for each in waiting:
            with pytest.raises(ClaimLost):
                each.result(5)
    assert time.monotonic() - started < 1


def test_claim_is_checked_after_the_wait(begin: Begin, standin: S3StandIn) -> None:
    """Whatever makes an object visible follows on the check at once."""
    sender, asked = begin(4), []
    transfer = Transfer(multipart_threshold=100, part_size=100, block=100)
    seen: list[tuple[str, float]] = []
    standin.faults.append(lambda _, r: seen.append((r.method, time.monotonic())) is not None)
    for length in (50, 200):
        send_with(
            transfer,
            source_of(random_bytes(length)),
            sender.store,
            may_finish=lambda: asked.append(time.monotonic()),
        )
        visible = [moment for method, moment in seen if method in ("PUT", "POST")][-1]
        assert visible - asked[-1] < 0.1


class NoRates:
    """A database that never answers."""

    def take(self, *_: Any, **__: Any) -> Future[Grant]:
        return Future()


def refused(sender: Sender, standin: S3StandIn, fault: Any = None) -> None:
    standin.fail_once("PUT", fault or refuse(503, "SlowDown"))
    send_with(Transfer(), source_of(random_bytes(100)), sender.store)


def slowed_to(sql: Any) -> Any:
    """The rate in the table as soon as there is one."""
    rows = wait_until(lambda: sql("select slowed_to from media_worker.request_rates"))
    return rows[0][0]


def pass_time(sql: Any, *, seconds: float) -> None:
    sql(
        "update media_worker.request_rates set (slowed_at, grown_at, used_at) ="
        " (slowed_at - %(s)s, grown_at - %(s)s, used_at - %(s)s)".replace(
            "%(s)s", f"interval '{seconds} seconds'"
        )
    )


def pair(do: Callable[[Sender], int], senders: list[Sender]) -> list[int]:
    with ThreadPoolExecutor(len(senders)) as executor:
        return list(executor.map(do, senders))
