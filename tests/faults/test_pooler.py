"""Behind a transaction pooler: no LISTEN, no session state."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.conftest import Faults
from tests.support.pgbouncer import pgbouncer, pgbouncer_is_there
from worker.demo.bodies import GeneratedMp3

needs_pgbouncer = pytest.mark.skipif(not pgbouncer_is_there(), reason="PgBouncer is not installed")


@needs_pgbouncer
def test_whole_archive_run_through_pgbouncer(faults: Faults, tmp_path: Path) -> None:
    directory = tmp_path / "pgbouncer"
    directory.mkdir()
    with pgbouncer(faults.archive.url, directory) as url:
        worker = faults.start(DATABASE_URL=url)
        assert '"polling_only": true' in worker.wait_for_log("worker started")
        tracks = faults.tracks(20)
        faults.wait_for_rest()
        faults.assert_archived()
        gone = tracks[:5]
        faults.sql("delete from tracks where id = any (%s)", gone)
        changed = tracks[5]
        body = GeneratedMp3(4, 30_000)
        url_of_new = faults.track(body)
        faults.bodies[changed] = faults.bodies[url_of_new]
        faults.sql(
            "update tracks set audio_url = (select audio_url from tracks where id = %s)"
            " where id = %s",
            url_of_new,
            changed,
        )
        faults.wait_for_rest()
        for track in gone:
            del faults.bodies[track]
        faults.assert_archived()
        assert len(faults.archive.keys("audio")) == 16
        faults.assert_tidy()
        assert faults.burned() == []
        assert worker.terminate() == 0
