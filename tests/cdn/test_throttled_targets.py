"""Targets that take few requests: they hold up nobody else, and nothing counts against them."""

from __future__ import annotations

from tests.cdn.site import FIRST, SECOND, Site
from tests.support.wait import wait_until

MANY = 8


def test_throttled_target_does_not_hold_up_the_other(site: Site) -> None:
    site.start(CDN_SECOND_RATE_LIMIT="0.5", WORKER_CONCURRENCY="4")
    for number in range(MANY):
        site.insert(f"t{number}")
    query = "select count(*) from cdn_sync_jobs where target = %s and status = 'completed'"
    site.wait_for(f"select ({query}) = {MANY}", FIRST)
    assert site.one(query, SECOND) <= 4
    assert site.sql("select * from media_worker.outages") == []


def test_limit_is_kept_by_all_workers(site: Site) -> None:
    for _ in range(2):
        site.start(CDN_RATE_LIMIT="10", WORKER_CONCURRENCY="4")
    for number in range(MANY):
        site.insert(f"t{number}")
    front = site.first.front
    wait_until(lambda: front.count("PUT") > 0, timeout=20)
    before = _requests(site)
    began = site.one("select extract(epoch from clock_timestamp())")
    site.wait_for_rest()
    took = float(site.one("select extract(epoch from clock_timestamp())") - began)
    assert _requests(site) - before <= 10 * (took + 1)
    assert _requests(site) >= 3 * MANY


def test_target_that_asks_for_fewer_requests_is_no_outage(site: Site) -> None:
    front = site.first.front
    front.be("slow down")
    site.insert("t1")
    site.start()
    wait_until(lambda: front.count("HEAD") + front.count("PUT"), timeout=20)
    site.wait_for(
        "select slowed_to > 0 from media_worker.request_rates where service = 'cdn:r2_cdn'"
    )
    front.be("forward")
    site.wait_for_rest()
    site.assert_copied("t1")
    assert site.job("t1")["attempts"] == 1
    assert site.sql("select * from media_worker.outages") == []


def _requests(site: Site) -> int:
    front = site.first.front
    return sum(front.count(method) for method in ("PUT", "HEAD", "GET", "POST", "DELETE"))
