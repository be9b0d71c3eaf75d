"""Behind a real PgBouncer: its session mode will do, its other modes are refused."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import psycopg
import pytest

from tests.db.trees import SHOUT, WORK, Tree, exists, rows, snapshot, value
from tests.support.pgbouncer import pgbouncer, pgbouncer_is_there
from worker.db.migrator import LOCK_KEY
from worker.db.plan import MigrationRefused

pytestmark = pytest.mark.skipif(not pgbouncer_is_there(), reason="pgbouncer is not installed")

# It gives away the process that was used last, or takes turns.
ORDERS = ["server_round_robin = 0", "server_round_robin = 1"]


@pytest.fixture
def pools(url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pools]:
    with ExitStack() as running:
        yield Pools(url, tmp_path_factory, running)


class Pools:
    """Starts poolers in front of the test's database."""

    def __init__(self, url: str, paths: pytest.TempPathFactory, running: ExitStack) -> None:
        self._url, self._paths, self._running = url, paths, running

    def start(self, mode: str, more: str = "") -> str:
        directory: Path = self._paths.mktemp("pool")
        return self._running.enter_context(
            pgbouncer(self._url, directory, mode=mode, more=f"server_reset_query =\n{more}")
        )


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("waiting", [0, 1, 2, 3, 6])
def test_a_pooler_in_transaction_mode_is_refused(
    url: str, tree: Tree, pools: Pools, order: str, waiting: int
) -> None:
    pooled = pools.start("transaction", order)
    _warm_up(pooled, waiting)
    before = snapshot(url)
    with pytest.raises(MigrationRefused, match="in transaction mode"):
        tree.migrate(pooled)
    assert snapshot(url) == before


def test_a_pooler_in_statement_mode_is_refused(url: str, tree: Tree, pools: Pools) -> None:
    with pytest.raises(MigrationRefused):
        tree.migrate(pools.start("statement"))


def _warm_up(pooled: str, servers: int) -> None:
    """Have the pooler open that many servers, which then wait for clients."""
    with ExitStack() as clients:
        for _ in range(servers):
            clients.enter_context(psycopg.connect(pooled)).execute("select 1")


def test_a_pooler_in_session_mode_will_do(url: str, tree: Tree, pools: Pools) -> None:
    tree.write("migrations/0001_work.sql", WORK)
    tree.write("queue/functions.sql", SHOUT)
    pooled = pools.start("session")
    tree.migrate(pooled)
    assert exists(url, "public.work")
    assert tree.migrator(pooled).check().up_to_date


def test_the_pooled_session_keeps_neither_lock_nor_settings(
    url: str, tree: Tree, pools: Pools
) -> None:
    pooled = pools.start("session")
    tree.migrate(pooled)
    held = "select objid from pg_locks where locktype = 'advisory' and database ="
    held += " (select oid from pg_database where datname = current_database())"
    assert rows(url, held) == []
    assert value(pooled, "show search_path") == '"$user", public'
    assert value(pooled, "select pg_try_advisory_lock(%s)", LOCK_KEY)


def test_a_pool_of_a_single_session_will_do(
    url: str, tree: Tree, pools: Pools, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.db.pooling.PATIENCE", 0.2)
    tree.migrate(pools.start("session", "default_pool_size = 1"))
    assert exists(url, "media_worker.migrations")
