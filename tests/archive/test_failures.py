"""Providers that fail: what is tried again, when, and what is given up."""

from __future__ import annotations

import time

from tests.archive.conftest import Archive
from worker.demo.behaviour import Behaviour, document, page, refusal
from worker.demo.bodies import media


def test_temporary_error_is_tried_again(archive: Archive) -> None:
    url = archive.provider.serve("/a.mp3", refusal(500), refusal(500), Behaviour())
    track = archive.insert_track(url)
    archive.start()
    job = archive.wait_for_job(track, "completed")
    assert job["attempts"] == 3 and job["error_message"] is None


def test_retry_after_is_honoured(archive: Archive) -> None:
    asked: list[float] = []

    def answer(_: object) -> Behaviour:
        asked.append(time.monotonic())
        return refusal(429, retry_after=2) if len(asked) == 1 else Behaviour()

    track = archive.insert_track(archive.provider.serve("/a.mp3", answer))
    archive.start()
    archive.wait_for_job(track, "completed")
    assert asked[1] - asked[0] >= 2


def test_what_is_gone_fails_at_once_and_again_by_the_daily_run(archive: Archive) -> None:
    track = archive.insert_track(archive.provider.serve("/a.mp3", refusal(404), Behaviour()))
    worker = archive.work()
    assert worker.returncode == 1
    job = archive.wait_for_job(track, "failed")
    assert job["attempts"] == 1 and "404" in job["error_message"]
    assert archive.one("select count(*) from notifications") == 1
    archive.sql(
        "insert into media_worker.periodic_runs values ('archive.daily', now() - interval '2 days')"
    )
    archive.start()  # the daily run was missed: it is made up for
    archive.wait_for_job(track, "completed")


def test_daily_run_is_done_once_a_day(archive: Archive) -> None:
    archive.start()
    done = "select last_run_at from media_worker.periodic_runs where name = 'archive.daily'"
    slot = "media_worker.last_daily_slot('03:00')"
    assert archive.wait_for(done) == archive.one(f"select {slot}")
    assert archive.one(f"select media_worker.take_turn('archive.daily', '1 day', {slot})") is False


def test_page_instead_of_audio_fails_with_a_clear_message(archive: Archive) -> None:
    track = archive.insert_track(archive.provider.serve("/a.mp3", page()))
    archive.work()
    job = archive.wait_for_job(track, "failed")
    assert "HTML" in job["error_message"] or "html" in job["error_message"]
    assert archive.keys("audio") == []


def test_failed_work_set_to_pending_is_done_again(archive: Archive) -> None:
    url = archive.provider.serve("/a.mp3", refusal(404), refusal(404), Behaviour())
    tracks = [archive.insert_track(url) for _ in range(2)]
    archive.work()
    assert {(archive.job(track) or {})["status"] for track in tracks} == {"failed"}
    archive.sql("update track_archiving_jobs set status = 'pending' where status = 'failed'")
    archive.work()
    assert {(archive.job(track) or {})["status"] for track in tracks} == {"completed"}


def test_expired_track_gets_three_tries_then_fails(archive: Archive) -> None:
    gone = archive.insert_track(archive.provider.serve("/gone.mp3", refusal(410)), age="20 days")
    busy = archive.insert_track(archive.provider.serve("/busy.mp3", refusal(503)), age="20 days")
    alive = archive.insert_track(archive.provider.url("/ok/melody.mp3"), age="20 days")
    archive.start()
    assert archive.wait_for_job(gone, "failed")["error_message"].startswith(
        "expired at the provider"
    )
    job = archive.wait_for_job(busy, "failed")
    assert job["error_message"].startswith("expired at the provider") and job["attempts"] == 3
    assert len(archive.provider.requests("/busy.mp3")) == 3
    archive.wait_for_job(alive, "completed")
    assert archive.one("select count(*) from notifications") == 0


def test_cover_that_fails_beyond_the_expiry_is_given_up(archive: Archive) -> None:
    provider = archive.provider
    track = archive.insert_track(
        provider.url("/ok/melody.mp3"), age="20 days", cover_url=provider.serve("/c", refusal(503))
    )
    archive.start()
    job = archive.wait_for_job(track, "completed")
    assert job["metadata"]["missing"] == ["cover"]
    assert len(provider.requests("/c")) == 3


def test_fresh_url_saves_what_is_gone(archive: Archive) -> None:
    provider = archive.provider
    fresh = {"audio_url": provider.url("/ok/melody.mp3")}
    refresh = provider.serve("/refresh", document(fresh))
    url = provider.serve("/gone.mp3", refusal(403))
    track = archive.insert_track(url)
    archive.work(ARCHIVE_REFRESH_URL=refresh)
    archive.wait_for_job(track, "completed")
    (asked,) = provider.requests("/refresh")
    assert asked.method == "POST" and str(track) in asked.body.decode()
    archive.update(track, "archived_to_storage = false")  # known by the URL of the row
    assert archive.track(track)["archived_to_storage"] is True
    assert archive.stored("audio", archive.keys("audio")[0]) == media("melody.mp3").content


def test_without_a_fresh_url_the_first_error_stands(archive: Archive) -> None:
    refresh = archive.provider.serve("/refresh", refusal(404))
    track = archive.insert_track(archive.provider.serve("/gone.mp3", refusal(410)))
    archive.work(ARCHIVE_REFRESH_URL=refresh)
    assert "410" in archive.wait_for_job(track, "failed")["error_message"]


def test_broken_refresh_gives_nothing_up(archive: Archive) -> None:
    provider = archive.provider
    fresh = document({"audio_url": provider.url("/ok/melody.mp3")})
    refresh = provider.serve("/refresh", refusal(500), page(), document(["no object"]), fresh)
    track = archive.insert_track(provider.serve("/gone.mp3", refusal(404)))
    archive.start(ARCHIVE_REFRESH_URL=refresh)
    archive.wait_for_job(track, "completed")
    assert len(provider.requests("/refresh")) == 4
