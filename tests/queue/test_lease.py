"""Whose claims are good: workers that are silent, and workers that nobody could hear."""

from __future__ import annotations

from uuid import UUID, uuid4

from tests.queue.site import Site

SILENT = "update media_worker.workers set last_heartbeat_at = now() - interval '1 hour'"


def beat(site: Site, worker: UUID) -> None:
    site.sql("select media_worker.beat(%s, 'host', 1, '1', array['maintenance'], 1)", worker)


def claim(site: Site) -> tuple[UUID, UUID]:
    """A row that a worker has; returns both."""
    (row,), worker = site.insert(), uuid4()
    beat(site, worker)
    site.sql("select media_worker.claim('test', array[%s], %s, %s)", row, worker, uuid4())
    return row, worker


def silence(site: Site) -> None:
    """No heartbeat has come for long, while the database itself went on."""
    site.sql(SILENT)
    site.sql(
        "create or replace function media_worker.lease() returns interval language sql stable"
        " set search_path = '' as"
        " 'select least(interval ''30 seconds'', (now() - pg_postmaster_start_time()) / 2)'"
    )


def test_worker_that_is_back_after_a_silence_gives_the_others_time_to_return(site: Site) -> None:
    row, _ = claim(site)
    returning = uuid4()
    beat(site, returning)
    silence(site)
    beat(site, returning)
    assert site.one("select media_worker.rescue(%s)", returning) == 0
    site.sql("update media_worker.workers set returned_at = now() - interval '1 hour'")
    assert site.one("select media_worker.rescue(%s)", returning) == 1
    assert site.is_(row, status="pending", crashes=1)


def test_worker_whose_own_lease_is_over_frees_nothing(site: Site) -> None:
    row, worker = claim(site)
    silence(site)
    assert site.one("select media_worker.rescue(%s)", worker) == 0
    beat(site, worker)
    assert site.one("select media_worker.rescue(%s)", worker) == 0
    assert site.is_(row, status="processing", crashes=0)


def test_steady_heartbeats_prolong_nobody_elses_lease(site: Site) -> None:
    row, dead = claim(site)
    steady = uuid4()
    beat(site, steady)
    silence(site)
    site.sql(
        "update media_worker.workers set last_heartbeat_at = clock_timestamp()"
        " where worker_id <> %s",
        dead,
    )
    beat(site, steady)
    assert site.one("select media_worker.rescue(%s)", steady) == 1
    assert site.is_(row, status="pending", crashes=1)
