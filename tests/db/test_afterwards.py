"""What `migrate` does for rows that were there before."""

from __future__ import annotations

import subprocess

import pytest

from tests.db.trees import Tree, run, value
from worker.demo.embedded.cluster import postgres_programs

BACKLOG = """
create or replace function media_worker.after_migrate() returns integer
language plpgsql set search_path = '' as $$
declare
    done integer;
begin
    with gone as (
        delete from public.backlog as b where b.id in (
            select x.id from public.backlog as x order by x.id limit 10)
        returning b.id
    )
    select count(*) into done from gone;
    insert into public.steps default values;
    return done;
end $$;
"""


@pytest.fixture
def backlog(tree: Tree) -> Tree:
    """Rows that were there before: 10 in a step are taken care of."""
    tree.write(
        "migrations/0001_backlog.sql",
        "create table public.backlog (id serial primary key);"
        "insert into public.backlog select from generate_series(1, 205);"
        "create table public.steps (transaction xid8 default pg_current_xact_id());",
    )
    tree.write("queue/functions.sql", BACKLOG)
    return tree


def test_older_rows_are_taken_care_of_step_by_step(url: str, backlog: Tree) -> None:
    told: list[str] = []
    backlog.migrator(url).apply(progress=told.append)
    assert value(url, "select count(*) from public.backlog") == 0
    assert value(url, "select count(distinct transaction) from public.steps") == 22
    assert told == [
        "rows that were there before: 100 done so far",
        "rows that were there before: 200 done so far",
    ]


def test_older_rows_that_are_left_are_taken_care_of_by_the_next_run(
    url: str, backlog: Tree
) -> None:
    backlog.migrate(url)
    run(url, "insert into public.backlog default values")
    assert backlog.migrate(url).up_to_date
    assert value(url, "select count(*) from public.backlog") == 0


def test_older_rows_are_in_the_script_too(url: str, backlog: Tree) -> None:
    psql = [str(postgres_programs() / "psql"), "--no-psqlrc", "-qX", "-v", "ON_ERROR_STOP=1", url]
    subprocess.run(
        psql, input=backlog.migrator(url).script(), text=True, check=True, stdout=subprocess.DEVNULL
    )
    assert value(url, "select count(*) from public.backlog") == 0
    assert value(url, "select count(distinct transaction) from public.steps") == 22
