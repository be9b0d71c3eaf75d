"""What the server, the login and the schemas must be like."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.db.trees import Tree, run, value
from worker.db.plan import MigrationRefused
from worker.db.sqlfiles import procrastinate_schema


def problems(url: str, tree: Tree) -> str:
    with pytest.raises(MigrationRefused) as refused:
        tree.migrate(url)
    return "\n".join(refused.value.problems)


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
