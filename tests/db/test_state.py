"""Whether the worker may start on the schema that it finds."""

from __future__ import annotations

from collections.abc import Callable

import psycopg

from tests.db.trees import SHOUT, WORK, Tree, run, value
from worker.db.state import schema_state


async def state(url: str, tree: Tree) -> str:
    async with await psycopg.AsyncConnection.connect(url) as connection:
        return await schema_state(connection, root=tree.root)


async def test_a_migrated_database_is_current(url: str, tree: Tree) -> None:
    tree.write("migrations/0001_work.sql", WORK)
    tree.write("queue/functions.sql", SHOUT)
    assert await state(url, tree) == "missing"
    tree.migrate(url)
    assert await state(url, tree) == "current"


async def test_a_new_migration_or_a_changed_function_makes_it_old(url: str, tree: Tree) -> None:
    tree.write("queue/functions.sql", SHOUT)
    tree.migrate(url)
    tree.write("migrations/0001_work.sql", WORK)
    assert await state(url, tree) == "old"
    tree.migrate(url)
    tree.write("queue/functions.sql", SHOUT + "-- changed")
    assert await state(url, tree) == "old"


async def test_an_older_procrastinate_makes_it_old(url: str, tree: Tree) -> None:
    tree.migrate(url)
    run(url, "update media_worker.migrations set name = '03' where kind = 'procrastinate'")
    assert await state(url, tree) == "old"


async def test_an_unknown_migration_or_release_makes_it_newer(url: str, tree: Tree) -> None:
    tree.write("migrations/0001_work.sql", WORK)
    tree.migrate(url)
    run(url, "update media_worker.migrations set release = '999.1' where kind = 'migration'")
    assert await state(url, tree) == "newer"
    run(url, "update media_worker.migrations set release = '0' where kind = 'migration'")
    tree.remove("migrations/0001_work.sql")
    assert await state(url, tree) == "newer"


async def test_a_member_of_the_group_role_can_ask(
    url: str, tree: Tree, login: Callable[[str], str]
) -> None:
    tree.migrate(url)
    worker = login("")
    run(url, f"grant media_worker to {value(worker, 'select current_user::text')}")
    assert await state(worker, tree) == "current"
