"""A classic installation is taken over; anything else of our names stops the migration."""

from __future__ import annotations

import pytest

from tests.db.trees import SHOUT, Tree, exists, has_function, rows, run, snapshot, value
from worker.db.plan import MigrationRefused

CLASSIC = """
create table public.tracks (id uuid primary key, audio_url text);
create table public.track_archiving_jobs (
    id serial primary key, track_id uuid unique references public.tracks, status text
);
create index track_archiving_jobs_status on public.track_archiving_jobs (status);
alter table public.track_archiving_jobs enable row level security;
create policy own on public.track_archiving_jobs using (true);
insert into public.track_archiving_jobs (status) values ('pending'), ('completed');

create function public.shout(word text) returns boolean language sql as 'select true';
create function public.queue_track() returns trigger language plpgsql as $$
begin
    insert into public.track_archiving_jobs (track_id) values (new.id);
    return new;
end $$;
create trigger on_track after insert on public.tracks
    for each row execute function public.queue_track();
create view public.words as select public.shout('a') as word;
create function public.mine() returns int language sql as 'select 1';
"""
NEW_JOBS = """
create table public.track_archiving_jobs (id uuid primary key, track_id uuid unique, state text);
create index track_archiving_jobs_status on public.track_archiving_jobs (state);
"""
HOOK = """
create or replace function media_worker.take_over_classic_jobs() returns void
language plpgsql set search_path = '' as $$
begin
    if to_regclass('public.track_archiving_jobs_classic') is not null then
        insert into public.track_archiving_jobs (id, state)
        select gen_random_uuid(), c.status from public.track_archiving_jobs_classic as c
        where c.status = 'pending';
    end if;
end $$;
"""


@pytest.fixture
def tree(tree: Tree) -> Tree:
    tree.write("migrations/0001_jobs.sql", NEW_JOBS)
    tree.write("archive/functions.sql", SHOUT + HOOK)
    tree.write("archive/views.sql", "create or replace view public.words as select 1 as id;")
    return tree


def problems(url: str, tree: Tree) -> str:
    before = snapshot(url)
    with pytest.raises(MigrationRefused) as refused:
        tree.migrate(url)
    assert snapshot(url) == before
    return "\n".join(refused.value.problems)


def test_classic_functions_views_and_triggers_are_kept_as_text_and_replaced(
    url: str, tree: Tree
) -> None:
    run(url, CLASSIC)
    tree.migrate(url)
    assert value(url, "select public.shout('hi')") == "HI"
    assert rows(url, "select * from public.words") == [(1,)]
    assert not has_function(url, "public.queue_track()")
    assert has_function(url, "public.mine()")
    kept = dict(rows(url, "select name, definition from media_worker.classic_objects"))
    assert "RETURNS boolean" in kept["public.shout(text)"]
    assert "create view public.words as" in kept["public.words"]
    assert "CREATE TRIGGER on_track" in kept["on_track on public.tracks"]
    assert "track_archiving_jobs_classic" in kept["track_archiving_jobs"]
    run(url, "insert into public.tracks values (gen_random_uuid(), '')")


def test_a_classic_job_table_is_renamed_and_its_open_rows_taken_over_once(
    url: str, tree: Tree
) -> None:
    run(url, CLASSIC)
    tree.migrate(url)
    assert value(url, "select count(*) from public.track_archiving_jobs_classic") == 2
    assert rows(url, "select state from public.track_archiving_jobs") == [("pending",)]
    policies = "select count(*) from pg_policies where tablename = 'track_archiving_jobs_classic'"
    assert value(url, policies) == 1
    assert tree.migrator(url).check().up_to_date
    tree.write("archive/functions.sql", SHOUT + HOOK + "-- changed")
    tree.migrate(url)
    assert value(url, "select count(*) from public.track_archiving_jobs") == 1


def test_a_hook_that_comes_with_a_later_release_is_called_then(url: str, tree: Tree) -> None:
    run(url, CLASSIC)
    tree.write("archive/functions.sql", SHOUT)
    tree.migrate(url)
    assert tree.migrator(url).check().up_to_date
    tree.write("archive/functions.sql", SHOUT + HOOK)
    tree.migrate(url)
    assert rows(url, "select state from public.track_archiving_jobs") == [("pending",)]


def test_the_classic_triggers_go_in_the_transaction_in_which_ours_come(
    url: str, tree: Tree
) -> None:
    run(url, CLASSIC)
    groups = tree.migrator(url).check().transactions
    [together] = [group for group in groups if group[0].kind == "takeover" and len(group) > 1]
    assert [step.kind for step in together] == ["takeover", "migration", "repeatable"]


def test_a_second_release_takes_over_what_it_newly_needs(url: str, tree: Tree) -> None:
    tree.migrate(url)
    run(
        url,
        "create table public.cloudinary_cleanup_queue (id int primary key);"
        "create function public.later() returns int language sql as 'select 1'",
    )
    tree.write(
        "migrations/0002_cleanup.sql",
        "create table public.cloudinary_cleanup_queue (id uuid primary key);",
    )
    tree.write("cleanup/functions.sql", SHOUT.replace("shout", "later"))
    tree.migrate(url)
    assert exists(url, "public.cloudinary_cleanup_queue_classic")
    assert not has_function(url, "public.later()")


@pytest.mark.parametrize(
    ("statement", "complaint"),
    [
        ("create table public.archive_policies (id int)", "the table public.archive_policies"),
        ("create view public.archive_policies as select 1", "the view public.archive_policies"),
        ("create sequence public.archive_policies", "the sequence public.archive_policies"),
        ("create type public.archive_policies as enum ('a')", "the type public.archive_policies"),
        ("create view public.track_archiving_jobs as select 1", "the view public.track_archiving"),
        ("create table public.words (id int)", "the table public.words"),
        (
            "create table public.track_archiving_jobs ();"
            "create table public.track_archiving_jobs_classic ()",
            "track_archiving_jobs_classic is not",
        ),
        ("create aggregate public.shout(text) (sfunc = textcat, stype = text)", "public.shout"),
        (
            "create table public.other (id int);"
            "create index track_archiving_jobs_status on public.other (id)",
            "the index public.track",
        ),
    ],
)
def test_anything_else_of_our_names_stops_it_before_a_change(
    url: str, tree: Tree, statement: str, complaint: str
) -> None:
    tree.write("migrations/0001_jobs.sql", NEW_JOBS + "create table public.archive_policies ();")
    run(url, statement)
    assert complaint in problems(url, tree)


def test_a_teams_view_on_a_classic_function_stops_it(url: str, tree: Tree) -> None:
    run(url, CLASSIC + "create view public.report as select public.shout('b') as word")
    found = problems(url, tree)
    assert "view report depends on the classic function shout(text)" in found.replace("public.", "")


def test_a_teams_policy_on_a_classic_function_stops_it(url: str, tree: Tree) -> None:
    run(url, CLASSIC + "create policy loud on public.tracks using (public.shout(audio_url))")
    assert "policy loud on table" in problems(url, tree)
