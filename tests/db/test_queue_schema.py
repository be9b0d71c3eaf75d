"""procrastinate's schema: in its own place, upgraded, and usable from anywhere."""

from __future__ import annotations

from tests.db.trees import Tree, rows, run, value
from worker.db.queue_schema import FIX_SEARCH_PATH
from worker.db.sqlfiles import procrastinate_migrations, procrastinate_schema

OLD = "03.03.00_01_pre_priority_lock_fetch_job.sql"
UNFIXED = """
select proname from pg_proc where pronamespace = 'procrastinate'::regnamespace
    and proconfig is distinct from array['search_path=procrastinate, pg_temp']
"""
DEFER = """
select procrastinate.procrastinate_defer_jobs_v1(array[
    row('archive', 'task', 0, null, null, '{}', null)::procrastinate.procrastinate_job_to_defer_v1
])
"""


def test_jobs_can_be_put_in_and_deleted_under_any_search_path(url: str, tree: Tree) -> None:
    tree.migrate(url)
    run(url, "set search_path = ''; " + DEFER)
    run(url, "set search_path = ''; delete from procrastinate.procrastinate_jobs")
    assert rows(url, UNFIXED) == []


def test_an_older_version_is_upgraded_by_its_own_migrations(url: str, tree: Tree) -> None:
    tree.migrate(url)
    shape = _shape(url)
    _install_old_version(url)
    assert _shape(url) != shape
    steps = [step.name for step in tree.migrate(url).steps if step.kind == "procrastinate"]
    assert steps == [file.name for file in procrastinate_migrations() if file.name > OLD]
    assert _shape(url) == shape
    assert rows(url, UNFIXED) == []
    assert tree.migrator(url).check().up_to_date


def test_an_upgrade_by_hand_that_cleared_the_search_path_is_mended(url: str, tree: Tree) -> None:
    tree.migrate(url)
    run(url, "alter function procrastinate.procrastinate_register_worker_v1() reset search_path")
    tree.migrate(url)
    assert rows(url, UNFIXED) == []


def test_a_teams_own_installation_in_public_is_left_alone(url: str, tree: Tree) -> None:
    run(url, procrastinate_schema().text)
    run(url, "insert into public.procrastinate_jobs (queue_name, task_name) values ('q', 't')")
    tree.migrate(url)
    assert value(url, "select count(*) from public.procrastinate_jobs") == 1
    assert value(url, "select count(*) from procrastinate.procrastinate_jobs") == 0
    set_ = "select count(*) from pg_proc where pronamespace = 'public'::regnamespace"
    assert value(url, set_ + " and proconfig is not null") == 0


def _install_old_version(url: str) -> None:
    run(url, "drop schema procrastinate cascade; create schema procrastinate")
    for file in procrastinate_migrations():
        if file.name <= OLD:
            run(url, "set search_path = procrastinate, pg_temp;\n" + file.text)
    run(url, FIX_SEARCH_PATH)
    run(url, f"update media_worker.migrations set name = '{OLD}' where kind = 'procrastinate'")


def _shape(url: str) -> list[tuple[str, ...]]:
    return rows(
        url,
        """
        select proname, pg_get_function_identity_arguments(oid) from pg_proc
        where pronamespace = 'procrastinate'::regnamespace
        union all
        select c.relname, a.attname from pg_class c join pg_attribute a on a.attrelid = c.oid
        where c.relnamespace = 'procrastinate'::regnamespace and c.relkind = 'r'
            and a.attnum > 0 and not a.attisdropped
        order by 1, 2
    """,
    )
