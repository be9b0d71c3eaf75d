"""What the server, the login and the schemas must be like."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from psycopg.conninfo import conninfo_to_dict

from tests.db.trees import Tree, run, snapshot, value
from tests.support.databases import changed_url
from tests.support.wait import wait_until
from worker.db.plan import MigrationRefused
from worker.db.sqlfiles import procrastinate_schema

PGBOUNCER = shutil.which("pgbouncer", path="/usr/sbin:/usr/bin:/usr/local/bin")


def problems(url: str, tree: Tree) -> str:
    with pytest.raises(MigrationRefused) as refused:
        tree.migrate(url)
    return "\n".join(refused.value.problems)


@pytest.fixture
def pooled(url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The same database behind a transaction pooler."""
    if PGBOUNCER is None:
        pytest.skip("pgbouncer is not installed")
    home = tmp_path_factory.mktemp("bouncer")
    server = conninfo_to_dict(url)
    port = 16432
    (home / "users").write_text('"postgres" ""\n')
    (home / "bouncer.ini").write_text(f"""
        [databases]
        * = host={server["host"]} port={server["port"]} user=postgres
        [pgbouncer]
        listen_addr =
        unix_socket_dir = {home}
        listen_port = {port}
        auth_type = any
        auth_file = {home}/users
        pool_mode = transaction
    """)
    for path in (home, home.parent, home.parent.parent):
        path.chmod(0o755)
    home.chmod(0o777)
    options = ["-u", "nobody"] if Path("/proc/self").stat().st_uid == 0 else []
    process = subprocess.Popen(
        [PGBOUNCER, "-q", *options, str(home / "bouncer.ini")], stderr=subprocess.DEVNULL
    )
    try:
        wait_until(lambda: (home / f".s.PGSQL.{port}").exists(), message="the pooler")
        yield changed_url(url, host=str(home), port=port)
    finally:
        process.terminate()
        process.wait(10)


def test_a_transaction_pooler_is_refused(pooled: str, url: str, tree: Tree) -> None:
    before = snapshot(url)
    assert "set DATABASE_URL to a direct connection" in problems(pooled, tree)
    assert snapshot(url) == before


@pytest.mark.parametrize("schema", ["media_worker", "procrastinate"])
def test_a_foreign_schema_of_our_name_is_refused(url: str, tree: Tree, schema: str) -> None:
    run(url, f"create schema {schema}; create table {schema}.migrations (id int)")
    assert f"the schema {schema} has objects that are not Media Worker's" in problems(url, tree)


def test_an_unknown_procrastinate_in_its_schema_is_refused(url: str, tree: Tree) -> None:
    run(
        url,
        "create schema procrastinate; set search_path = procrastinate;"
        + procrastinate_schema().text,
    )
    assert "alter schema procrastinate rename to" in problems(url, tree)


@pytest.mark.parametrize("schema", ["media_worker", "procrastinate"])
def test_an_empty_schema_of_our_name_is_used(url: str, tree: Tree, schema: str) -> None:
    run(url, f"create schema {schema}")
    tree.migrate(url)


def test_a_login_without_privileges_is_told_what_is_missing(
    url: str, tree: Tree, login: Callable[[str], str]
) -> None:
    stranger = login("")
    found = problems(stranger, tree)
    assert "may not create objects in the schema public" in found
    assert "grant create on database" in found


def test_a_second_role_is_told_who_must_migrate(
    url: str, tree: Tree, login: Callable[[str], str]
) -> None:
    tree.migrate(url)
    stranger = login("")
    user = value(stranger, "select current_user::text")
    run(
        url,
        f"grant all on schema public, media_worker, procrastinate to {user};"
        f"grant select on all tables in schema media_worker to {user}",
    )
    assert "the schema media_worker belongs to postgres: run migrate as postgres" in problems(
        stranger, tree
    )


def test_the_group_role_exists_and_cannot_log_in(url: str, tree: Tree) -> None:
    tree.migrate(url)
    assert value(url, "select rolcanlogin from pg_roles where rolname = 'media_worker'") is False
