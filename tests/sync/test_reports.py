"""What `status` and `doctor` say of the media library."""

from __future__ import annotations

import asyncio

import pytest

from tests.sync.site import Site
from worker.db.pool import Database
from worker.doctor.model import Finding
from worker.doctor.work import check_library
from worker.monitoring.report import print_status, read_status


def findings(site: Site) -> list[Finding]:
    async def look() -> list[Finding]:
        database = Database(site.url, size=1)
        try:
            return await check_library(database)
        finally:
            await database.close()

    return asyncio.run(look())


def test_status_shows_the_library(site: Site, capsys: object) -> None:
    site.cloudinary.account.add("a")
    site.sync()
    site.sql("insert into media_assets (public_id) values ('b')")
    found = read_status(site.url)
    figures = found["sync"]
    assert (figures["total_assets"], figures["synced"], figures["pending"]) == (2, 1, 1)
    assert figures["last_full_sync_status"] == "completed"
    assert figures["lag"] > 0
    print_status(found)
    assert "Media library" in capsys.readouterr().out  # type: ignore[attr-defined]


def test_doctor_names_rows_in_error_and_a_sync_that_failed(site: Site) -> None:
    assert findings(site) == []
    site.cloudinary.account.add("a")
    site.sync()
    site.sql("insert into media_assets (public_id) values ('missing')")
    site.cloudinary.account.clear()
    site.sync()
    rows, run = findings(site)
    assert (rows.level, run.level) == ("warning", "warning")
    assert "cannot be synced: 1;" in rows.what and "missing" in rows.what
    assert "1 of 1 rows" in run.what


def test_a_sync_that_would_delete_too_much_says_what_to_do(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in "abc":
        site.cloudinary.account.add(name)
    site.sync()
    site.cloudinary.account.delete("a", "b")
    process = site.command("sync", "--wait")
    assert process.wait(30) == 1
    command = "media-worker sync --force --wait"
    assert "2 of 3 rows" in process.log and command in process.log
    (run,) = findings(site)
    assert command in run.what
    status = read_status(site.url)
    print_status(status)
    assert command in capsys.readouterr().out
    assert command in status["sync"]["last_full_sync_error"]

    forced = site.command("sync", "--force", "--wait")
    assert forced.wait(30) == 0
    assert set(site.rows()) == {"c"}
    assert findings(site) == []
    assert read_status(site.url)["sync"]["last_full_sync_error"] is None
