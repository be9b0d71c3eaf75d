"""What users can see and do through an API on the database: with what is theirs, and no more."""

from __future__ import annotations

from uuid import UUID, uuid4

import psycopg
import pytest

from tests.security.conftest import Site

REFUSED = psycopg.errors.InsufficientPrivilege
REQUEST = "insert into public.track_archiving_jobs (track_id, user_id) values (%s, %s)"
STATUS = "select public.get_track_processing_status(%s) as status"


def test_a_user_has_an_own_track_archived_early(site: Site, alice: UUID) -> None:
    track = site.insert_track(alice)
    site.ask(REQUEST, track, alice, user=alice)
    job = site.job(track)
    assert job is not None
    assert (job["status"], job["user_id"]) == ("pending", alice)
    assert job["original_audio_url"] == "https://provider.test/a.mp3"


def test_asking_twice_makes_one_job(site: Site, alice: UUID) -> None:
    track = site.insert_track(alice)
    for _ in range(2):
        site.ask(REQUEST, track, alice, user=alice)
    assert site.job(track) is not None


def test_nobody_elses_track_can_be_asked_for(site: Site, alice: UUID, bob: UUID) -> None:
    track = site.insert_track(bob)
    for named in (alice, bob, None):
        with pytest.raises(REFUSED):
            site.ask(REQUEST, track, named, user=alice)
    assert site.job(track) is None


def test_nobody_can_be_named_but_oneself(site: Site, alice: UUID, bob: UUID) -> None:
    track = site.insert_track(alice)
    for named in (bob, None):
        with pytest.raises(REFUSED):
            site.ask(REQUEST, track, named, user=alice)
    assert site.job(track) is None


def test_a_track_of_nobody_and_an_unknown_one_look_alike(site: Site, alice: UUID) -> None:
    said = []
    for track in (site.insert_track(None), uuid4()):
        with pytest.raises(REFUSED) as refused:
            site.ask(REQUEST, track, alice, user=alice)
        said.append(str(refused.value).replace(str(track), "…").partition("\n")[0])
    assert said[0] == said[1]


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("status", "completed"),
        ("original_audio_url", "http://169.254.169.254/"),
        ("due_by", "2020-01-01"),
        ("service", "other"),
        ("forced", "true"),
        ("id", "6b0e0f0e-0000-4000-8000-000000000000"),
    ],
)
def test_no_other_column_can_be_given(site: Site, alice: UUID, column: str, value: str) -> None:
    track = site.insert_track(alice)
    query = f"insert into public.track_archiving_jobs (track_id, user_id, {column})"
    with pytest.raises(REFUSED):
        site.ask(f"{query} values (%s, %s, %s)", track, alice, value, user=alice)
    assert site.job(track) is None


@pytest.mark.parametrize(
    "statement",
    [
        "update public.track_archiving_jobs set status = 'pending'",
        "delete from public.track_archiving_jobs",
        "update public.tracks set archived_to_storage = true",
        "delete from public.tracks",
        "delete from public.notifications",
        "insert into public.notifications (title) values ('a')",
        "select 1 as one from public.storage_cleanup_queue",
        "select 1 as one from public.archive_policies",
        "select 1 as one from public.archive_statistics",
        "select 1 as one from public.queue_health",
        "select 1 as one from public.worker_status",
        "select 1 from media_worker.objects",
        "select 1 from media_worker.playable_tracks",
        "select 1 from procrastinate.procrastinate_jobs",
        "select public.archive_tracks()",
        "select public.archive_track(gen_random_uuid())",
        "select public.mark_track_archived(gen_random_uuid(), 'a')",
        "select public.get_tracks_needing_archiving()",
        "select public.pause_queue('archive')",
        "select public.resume_queue('archive')",
        "select public.retry_failed('archive')",
        "select media_worker.claim('archive', '{}', gen_random_uuid(), gen_random_uuid())",
        "select media_worker.wake('archive', 'archive.track', '{}', '{}', 1)",
        "select media_worker.current_user_id()",
        "select procrastinate.procrastinate_defer_jobs_v1('{}')",
        "truncate public.track_archiving_jobs",
        "create table public.mine ()",
    ],
)
@pytest.mark.parametrize("role", ["authenticated", "anon"])
def test_nothing_else_can_be_done(site: Site, alice: UUID, statement: str, role: str) -> None:
    with pytest.raises(REFUSED):
        site.ask(statement, user=alice, role=role)


@pytest.mark.parametrize(
    "statement",
    [
        "select 1 from public.tracks",
        "select 1 from public.track_playback",
        "select 1 from public.track_archiving_jobs",
        "select 1 from public.notifications",
        "update public.notifications set read_at = now()",
        "insert into public.track_archiving_jobs (track_id) values (gen_random_uuid())",
        "select public.get_track_processing_status(gen_random_uuid())",
    ],
)
def test_without_a_user_nothing_at_all(site: Site, statement: str) -> None:
    with pytest.raises(REFUSED):
        site.ask(statement, role="anon")


def test_users_see_what_is_theirs_alone(site: Site, alice: UUID, bob: UUID) -> None:
    tracks = {user: site.insert_track(user, age="14 days") for user in (alice, bob)}
    site.insert_track(None, age="14 days")
    for user in (alice, bob, None):
        site.sql("insert into public.notifications (user_id, title) values (%s, 'Hi')", user)
    for user, track in tracks.items():
        jobs = site.ask("select track_id from public.track_archiving_jobs", user=user)
        assert jobs == [{"track_id": track}]
        assert site.ask("select id from public.tracks", user=user) == [{"id": track}]
        played = site.ask("select track_id from public.track_playback", user=user)
        assert played == [{"track_id": track}]
        seen = site.ask("select user_id from public.notifications", user=user)
        assert seen == [{"user_id": user}]


def test_the_status_of_an_own_track_alone_is_told(site: Site, alice: UUID, bob: UUID) -> None:
    track, ownerless = site.insert_track(alice), site.insert_track(None)
    [told] = site.ask(STATUS, track, user=alice)
    assert told["status"]["track_id"] == str(track)
    assert site.ask(STATUS, track, user=bob) == [{"status": None}]
    assert site.ask(STATUS, ownerless, user=bob) == [{"status": None}]
    assert site.ask(STATUS, ownerless, claims=None) == [{"status": None}]
    [told] = site.ask(STATUS, track, role="service_role")
    assert told["status"]["track_id"] == str(track)


def test_own_notifications_can_be_marked_as_read(site: Site, alice: UUID, bob: UUID) -> None:
    for user in (alice, bob):
        site.sql("insert into public.notifications (user_id, title) values (%s, 'Hi')", user)
    site.ask("update public.notifications set read_at = now()", user=alice)
    query = "select read_at is not null as read from public.notifications where user_id = %s"
    assert site.sql(query, alice) == [{"read": True}]
    assert site.sql(query, bob) == [{"read": False}]


@pytest.mark.parametrize("change", ["title = 'Ho'", "user_id = gen_random_uuid()"])
def test_nothing_but_the_reading_of_a_notification_is_recorded(
    site: Site, alice: UUID, change: str
) -> None:
    site.sql("insert into public.notifications (user_id, title) values (%s, 'Hi')", alice)
    with pytest.raises(REFUSED):
        site.ask(f"update public.notifications set {change}", user=alice)


@pytest.mark.parametrize(
    "claims",
    [
        None, "", "{}", "nonsense", "[]", "1", '"text"', "null", '{"sub": null}', '{"sub": ""}',
        '{"sub": "me"}', '{"sub": ["{user}"]}', '{"sub": {"id": "{user}"}}',
        '{"user_id": "{user}"}',
        '{"sub": "{user}"', "[" * 20_000,
    ],
)  # fmt: skip
def test_broken_claims_name_nobody(site: Site, alice: UUID, claims: str | None) -> None:
    track = site.insert_track(alice, age="14 days")
    site.insert_track(None, age="14 days")
    sent = claims and claims.replace("{user}", str(alice))
    for table in ("tracks", "track_archiving_jobs", "notifications"):
        assert site.ask(f"select 1 as one from public.{table}", claims=sent) == []
    assert site.ask(STATUS, track, claims=sent) == [{"status": None}]
    for named in (alice, None):
        with pytest.raises(REFUSED):
            site.ask(REQUEST, track, named, claims=sent)


def test_the_service_sees_and_asks_for_everything(site: Site, alice: UUID) -> None:
    track = site.insert_track(alice)
    site.ask(REQUEST, track, alice, role="service_role")
    [seen] = site.ask(
        "select status from public.track_archiving_jobs where track_id = %s", track,
        role="service_role",
    )  # fmt: skip
    assert seen == {"status": "pending"}
    assert site.ask("select 1 as one from public.archive_statistics", role="service_role")
    assert site.ask("select 1 as one from public.queue_health", role="service_role")
    site.ask("select 1 as one from public.worker_status", role="service_role")
