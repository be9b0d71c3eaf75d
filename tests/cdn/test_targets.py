"""One slow, broken or unconfigured target never holds up another."""

from __future__ import annotations

import time

import pytest

from tests.cdn.site import FIRST, MELODY, SECOND, Site
from tests.support.wait import wait_until


def served(site: Site, target: str) -> int:
    query = "select count(*) from cdn_sync_jobs where target = %s and status = 'completed'"
    return int(site.one(query, target))


def test_target_that_is_down_catches_up_by_itself_without_a_counted_try(site: Site) -> None:
    site.second.front.be("refuse")
    site.start(RETRY_DELAYS="0.2")
    for number in range(3):
        site.insert(f"t{number}")
    wait_until(lambda: served(site, FIRST) == 3, timeout=20, message="the first target")
    for number in range(3):
        site.assert_copied(f"t{number}", site.source.read(f"songs/t{number}.mp3"), FIRST)
    # an hour of outage, with short delays: many more probes than there are tries
    site.wait_for("select max(probes) >= 12 from media_worker.outages")
    waiting = site.sql("select * from cdn_sync_jobs where target = 'second'")
    assert {(job["status"], job["attempts"]) for job in waiting} <= {
        ("pending", 0),
        ("processing", 1),
    }
    said = site.one("select message from media_worker.outages")
    assert said.startswith("cdn:second") and "CDN_SECOND_ENDPOINT" in said
    assert site.row("t0")["storage_locations"].get(SECOND) is None
    site.second.front.be("forward")
    site.wait_for_rest()
    for number in range(3):
        site.assert_copied(f"t{number}")
        assert site.job(f"t{number}", SECOND)["attempts"] == 1
    assert site.sql("select * from media_worker.outages") == []


def test_target_catches_up_with_all_that_was_written_while_it_was_down(site: Site) -> None:
    for track in ("deleted", "changed", "withdrawn"):
        site.insert(track)
    site.work()
    site.second.front.be("refuse")
    site.start(RETRY_DELAYS="0.2")
    site.delete("deleted")
    site.update("changed", "metadata = '{\"a\": 1}'")
    site.sql("select sync_to_cdn('withdrawn', 'delete')")
    site.insert("new")
    wait_until(lambda: served(site, FIRST) == 4, timeout=20, message="the first target")
    site.assert_nowhere("deleted", FIRST)
    site.assert_nowhere("withdrawn", FIRST)
    site.assert_copied("changed", MELODY, FIRST, sidecar={"a": 1, "track_id": "changed"})
    # the copies there are the older ones
    assert site.row("changed")["storage_locations"][SECOND] is True
    assert len(site.second.keys()) == 6
    _let_an_hour_pass(site)
    site.second.front.be("forward")
    site.wait_for_rest()
    kept = {f"{place}/{track}" for track in ("changed", "new") for place in ("audio", "metadata")}
    held = site.second.keys()
    assert {key.partition(".")[0] for key in held} == kept
    assert site.row("withdrawn")["storage_locations"][SECOND] is False
    site.assert_copied("changed", sidecar={"a": 1, "track_id": "changed"})
    site.assert_copied("new")
    assert site.one("select max(attempts) from cdn_sync_jobs where target = 'second'") == 1


def test_storage_that_is_down_counts_no_try_and_is_probed_by_one_row(site: Site) -> None:
    for number in range(5):
        site.insert(f"t{number}")
    site.source.front.be("refuse")
    site.start(RETRY_DELAYS="0.2")
    site.wait_for("select max(probes) >= 8 from media_worker.outages where service = 'storage'")
    assert site.one("select max(attempts) from cdn_sync_jobs where status = 'pending'") == 0
    assert site.one("select count(*) from media_worker.outages") == 1
    site.source.front.be("forward")
    site.wait_for_rest()
    assert len(site.first.keys()) == len(site.second.keys()) == 10
    assert site.sql("select * from media_worker.outages") == []


def test_deletion_does_not_wait_for_the_storage(site: Site) -> None:
    site.insert("t1")
    site.work()
    site.source.front.be("refuse")
    site.insert("t2", "x.mp3")
    site.start()
    site.wait_for("select count(*) = 2 from cdn_sync_jobs where service = 'storage' and parked")
    site.delete("t1")
    site.delete("t2")
    site.wait_for_rest()
    site.assert_nowhere("t1")
    site.assert_nowhere("t2")


def test_target_that_hangs_does_not_hold_up_the_other(site: Site) -> None:
    site.second.front.be("hang")
    for number in range(12):
        site.insert(f"t{number}")
    site.start("--concurrency", "4")
    wait_until(lambda: served(site, FIRST) == 12, timeout=20, message="the first target")
    # one more is taken now and then, and given back at once
    wait_until(lambda: 1 <= len(under_way := _under_way(site)) <= 3 and {*under_way} == {SECOND})
    assert site.one("select max(attempts) from cdn_sync_jobs where status = 'pending'") == 0
    # what comes now is served at once
    began = time.monotonic()
    site.insert("new")
    site.wait_for_job("new", "completed")
    assert time.monotonic() - began < 5
    site.second.front.be("forward")
    site.wait_for_rest(timeout=40)
    assert len(site.first.keys()) == len(site.second.keys()) == 26


@pytest.mark.soak
def test_target_that_hangs_is_waited_for_without_a_counted_try(site: Site) -> None:
    for number in range(3):
        site.insert(f"t{number}")
    site.second.front.be("hang")
    site.start()
    # whatever is told of a hanging host, none of its time-outs counts
    site.wait_for("select count(*) >= 3 from cdn_sync_jobs where target = 'second'"
                  " and error_message is not null", timeout=200)  # fmt: skip
    waiting = site.sql("select * from cdn_sync_jobs where target = 'second'")
    assert [job for job in waiting if job["status"] == "pending" and job["attempts"]] == []
    site.second.front.be("forward")
    site.wait_for_rest(timeout=90)
    for number in range(3):
        site.assert_copied(f"t{number}")
        assert site.job(f"t{number}", SECOND)["attempts"] == 1


def test_target_that_is_not_in_the_settings_any_more_waits(site: Site) -> None:
    site.insert("t1")
    without = {
        name: "" for name in site.env if name.startswith("CDN_SECOND_") or name == "CDN_TARGETS"
    }
    worker = site.start(**without)
    site.wait_for_job("t1", "completed")
    site.wait_for("select parked from cdn_sync_jobs where target = 'second'")
    job = site.job("t1", SECOND)
    assert job["attempts"] == 0 and "CDN_TARGETS" in job["error_message"]
    site.insert("t2")
    site.wait_for_job("t2", "completed")
    assert site.job("t2", SECOND) == {}
    worker.terminate()
    site.start()
    site.wait_for_rest()
    site.assert_copied("t1")


def test_target_without_all_of_its_settings_names_them(site: Site) -> None:
    site.insert("t1")
    unset = {name: "" for name in site.env if name.startswith("CDN_SECOND_")}
    site.start(**unset)
    site.wait_for_job("t1", "completed")
    site.wait_for("select parked from cdn_sync_jobs where target = 'second'")
    assert "CDN_SECOND_BUCKET" in site.job("t1", SECOND)["error_message"]


def test_key_that_is_refused_waits_and_names_the_setting(site: Site) -> None:
    site.second.front.be("forbid")
    site.insert("t1")
    site.start()
    site.wait_for_job("t1", "completed")
    site.wait_for("select parked from cdn_sync_jobs where target = 'second'")
    job = site.job("t1", SECOND)
    assert job["attempts"] == 0 and "CDN_SECOND_ACCESS_KEY_ID" in job["error_message"]


def _under_way(site: Site) -> list[str]:
    """The targets of what is being done now."""
    rows = site.sql("select target from cdn_sync_jobs where status = 'processing'")
    return [row["target"] for row in rows]


def _let_an_hour_pass(site: Site) -> None:
    """Have all that waits look as if it had been waiting for an hour, with a probe a minute."""
    before = "clock_timestamp() - interval '1 hour'"
    site.sql(f"update cdn_sync_jobs set wanted_since = {before} where target = 'second'")
    site.sql(f"update media_worker.outages set probes = probes + 60, since = {before}")
