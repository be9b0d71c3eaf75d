from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from psycopg.conninfo import conninfo_to_dict

from tests.db.trees import SHOUT, WORDS_VIEW, WORK, Tree, run
from tests.support.databases import PostgresServer, changed_url, unique_name


@pytest.fixture
def url(empty_database: str) -> str:
    """The URL of a database of its own, with nothing in it."""
    return empty_database


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path / "sql")


@pytest.fixture
def migrated(url: str, tree: Tree) -> str:
    tree.write("migrations/0001_work.sql", WORK)
    tree.write("queue/functions.sql", SHOUT)
    tree.write("cdn/views.sql", WORDS_VIEW)
    tree.migrate(url)
    return url


@pytest.fixture
def login(postgres_server: PostgresServer, url: str) -> Iterator[Callable[[str], str]]:
    """Makes a role with the given attributes, and returns its URL of this test's database."""
    roles: list[str] = []

    def make(attributes: str = "") -> str:
        roles.append(unique_name("login"))
        run(url, f"create role {roles[-1]} login {attributes}")
        return changed_url(url, user=roles[-1])

    yield make
    for role in roles:
        database = conninfo_to_dict(url)["dbname"]
        run(url, f"alter database {database} owner to current_user")
        run(url, f"drop owned by {role} cascade; drop role {role}")
