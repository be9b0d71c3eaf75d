"""Rows against the Cloudinary account, in both directions."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.cleanup.library import Library, cloudinary, library
from worker.check.actions import Report
from worker.check.command import check_now
from worker.check.model import Options
from worker.demo.bodies import media
from worker.settings import load_settings

__all__ = ["cloudinary", "library"]

PLACE = "cloudinary:local-cloud"
OTHER_PICTURE = media("cover.jpg").content


@dataclass
class Mirror:
    """A media library in a state of rest, and checks of it."""

    library: Library

    def fill(self, *public_ids: str, **values: Any) -> None:
        """Assets that rows of media_assets mirror."""
        for public_id in public_ids:
            self.library.cloudinary.account.add(public_id, **values)
        self.sync()

    def sync(self) -> None:
        self.library.sql("select request_media_sync()")
        self.library.work()

    def row(self, public_id: str) -> dict[str, Any]:
        """The newest row of media_assets of that name, live or not."""
        return self.library.sql(
            "select * from media_assets where public_id = %s order by created_at desc limit 1",
            public_id,
        )[0]

    def resurrect(self, public_id: str) -> None:
        """An asset comes back that Media Worker has deleted, as it was."""
        version = self.library.one("select version from media_worker.deleted_assets")
        self.library.cloudinary.account.add(public_id, version=version)

    def check(self, *, age: float = 0.0, **options: Any) -> Report:
        given = Options(older_than=timedelta(seconds=age), **options)
        return check_now(load_settings(), given, quiet=True)

    def found(self, **options: Any) -> list[tuple[str, str]]:
        return [(each.kind, each.key) for each in self.check(**options).findings]


@pytest.fixture
def mirror(library: Library, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Mirror]:
    monkeypatch.chdir(tmp_path)
    for name, value in library.env.items():
        monkeypatch.setenv(name, value)
    yield Mirror(library)
    assert library.one("select count(*) from media_worker.check_seen_assets") == 0


def test_rows_and_assets_that_agree_are_no_findings(mirror: Mirror) -> None:
    mirror.fill("cat", "dog")
    mirror.library.add("song", resource_type="video")
    mirror.library.add("unknown", resource_type="raw")
    mirror.library.sql("update media_files set resource_type = null, secure_url = null"
                       " where public_id = 'unknown'")  # fmt: skip
    (place,) = mirror.check().places
    assert (place.place, place.objects, place.findings) == (PLACE, 4, [])
    assert place.agrees


def test_missing_asset_of_a_mirrored_row_is_found_and_the_row_marked_deleted(
    mirror: Mirror,
) -> None:
    mirror.fill("cat", "dog")
    mirror.library.cloudinary.account.delete("cat")
    assert mirror.found() == [("missing", "image/upload/cat")]
    assert mirror.row("cat")["deleted_at"] is None
    report = mirror.check(repair=True)
    assert (report.agrees, report.findings[0].outcome) == (True, "the row is marked deleted")
    assert mirror.row("cat")["deleted_at"] is not None
    assert mirror.library.deletions() == []
    assert mirror.found() == []


def test_missing_asset_with_a_source_is_uploaded_again(mirror: Mirror, provider: Any) -> None:
    mirror.library.sql(
        "insert into media_assets (public_id, resource_type, source_url)"
        " values ('tune', 'video', %s)",
        provider.url("/ok/melody.mp3"),
    )
    mirror.library.work()
    mirror.library.cloudinary.account.delete("tune", resource_type="video")
    assert mirror.found() == [("missing", "video/upload/tune")]
    assert mirror.check(repair=True).findings[0].outcome == "asked for again"
    mirror.library.work()
    assert mirror.library.has("tune", "video")
    assert mirror.row("tune")["deleted_at"] is None
    assert mirror.found() == []


def test_missing_asset_of_a_file_cannot_be_mended(mirror: Mirror) -> None:
    file = mirror.library.add("cat")
    mirror.library.cloudinary.account.delete("cat")
    report = mirror.check(repair=True)
    (finding,) = report.findings
    assert (finding.kind, finding.key) == ("missing", "image/upload/cat")
    assert finding.what == f"not there: media_files {file}"
    assert finding.outcome.startswith("cannot be had again")
    assert not report.agrees


def test_asset_that_was_replaced_is_found_and_taken_over(mirror: Mirror) -> None:
    mirror.fill("cat")
    mirror.library.cloudinary.account.upload("cat", OTHER_PICTURE)
    assert mirror.found() == [("other", "image/upload/cat")]
    assert mirror.check(repair=True).agrees
    mirror.library.work()
    assert mirror.row("cat")["bytes"] == len(OTHER_PICTURE)
    assert mirror.found() == []


def test_file_of_another_size_is_found_and_left_to_the_application(mirror: Mirror) -> None:
    mirror.library.add("cat", bytes=7)
    report = mirror.check(repair=True)
    assert [each.kind for each in report.findings] == ["other"]
    assert not report.agrees
    assert mirror.library.one("select bytes from media_files") == 7


def test_asset_without_row_is_listed_and_left(mirror: Mirror) -> None:
    mirror.library.cloudinary.account.add("stray")
    report = mirror.check(repair=True)
    assert [(each.kind, each.what) for each in report.findings] == [("foreign", "no row names it")]
    assert report.agrees
    mirror.library.work()
    assert mirror.library.has("stray")


def test_asset_that_outlived_its_deletion_is_deleted_again(mirror: Mirror) -> None:
    mirror.library.delete(mirror.library.add("cat"))
    mirror.library.work()
    mirror.resurrect("cat")
    assert mirror.found() == [("orphan", "image/upload/cat")]
    assert mirror.check(repair=True, max_deletions=0).stopped is not None
    assert len(mirror.library.deletions()) == 1
    report = mirror.check(repair=True)
    assert (report.agrees, report.findings[0].outcome) == (True, "its deletion is queued")
    assert mirror.found() == []  # it is under way
    mirror.library.work()
    assert not mirror.library.has("cat")


def test_newer_asset_of_a_deleted_name_is_foreign(mirror: Mirror) -> None:
    mirror.library.delete(mirror.library.add("cat"))
    mirror.library.work()
    mirror.library.cloudinary.account.upload("cat")
    assert mirror.found(repair=True) == [("foreign", "image/upload/cat")]
    assert len(mirror.library.deletions()) == 1


def test_asset_that_is_used_again_is_not_deleted_again(mirror: Mirror) -> None:
    mirror.library.delete(mirror.library.add("cat"))
    mirror.library.work()
    mirror.resurrect("cat")
    asset = mirror.library.cloudinary.account.get("cat")
    assert asset is not None
    mirror.library.insert(asset)
    assert mirror.found(repair=True) == []


def test_asset_of_a_row_that_was_deleted_unnoticed_is_listed(mirror: Mirror) -> None:
    library, file = mirror.library, mirror.library.add("cat")
    with library.connection.transaction():
        library.sql("set local session_replication_role = replica")
        library.soft_delete(file)
    assert mirror.found(repair=True) == [("unrecorded", "image/upload/cat")]
    library.work()
    assert library.has("cat")


def test_deletion_that_is_open_is_no_finding(mirror: Mirror) -> None:
    mirror.library.delete(mirror.library.add("cat"))
    assert mirror.found() == []


def test_row_that_waits_for_its_upload_is_no_finding(mirror: Mirror) -> None:
    mirror.library.sql("insert into media_assets (public_id) values ('soon')")
    assert mirror.found() == []


def test_what_was_touched_a_moment_ago_is_no_finding(mirror: Mirror) -> None:
    mirror.library.cloudinary.account.upload("stray")
    mirror.library.add("cat")
    mirror.library.cloudinary.account.delete("cat")
    assert mirror.found(age=3600) == []
    assert len(mirror.found()) == 2


def test_hundreds_of_assets_take_a_call_for_each_page(mirror: Mirror) -> None:
    library = mirror.library
    for number in range(1001):
        library.insert(library.cloudinary.account.add(f"a{number:04}"))
    library.cloudinary.account.delete("a0007")
    library.cloudinary.calls.clear()
    assert mirror.found() == [("missing", "image/upload/a0007")]
    # two pages, eight empty listings, and a look at the one that is missing
    assert len(library.cloudinary.calls) == 11


def test_asset_that_comes_after_its_page_was_read_is_not_missing(mirror: Mirror) -> None:
    mirror.library.add("cat")
    mirror.library.cloudinary.account.delete("cat")
    hold = mirror.library.cloudinary.faults.hold("list", skip=1)
    with ThreadPoolExecutor(1) as executor:
        report = executor.submit(mirror.check)
        assert hold.reached.wait(20)
        mirror.library.cloudinary.account.upload("cat")
        hold.release()
    assert report.result().findings == []


def test_account_that_is_another_one_is_not_repaired(mirror: Mirror) -> None:
    mirror.fill(*(f"a{number}" for number in range(12)))
    mirror.library.cloudinary.reset()
    report = mirror.check(repair=True)
    (place,) = report.places
    assert place.error is not None and "is it the right account?" in place.error
    assert not report.carried_out
    mirror.library.work()
    assert all(mirror.row(f"a{number}")["deleted_at"] is None for number in range(12))


def test_rate_limit_ends_the_comparison_and_is_said(mirror: Mirror) -> None:
    mirror.fill("cat", "dog")
    mirror.library.cloudinary.account.delete("cat")
    mirror.library.cloudinary.faults.limit(3)
    mirror.library.sql("delete from media_worker.api_budgets")
    report = mirror.check(repair=True)
    (place,) = report.places
    assert place.error is not None and "rate limit leaves no calls until" in place.error
    assert (report.carried_out, report.agrees) == (False, False)
    mirror.library.work()
    assert mirror.row("cat")["deleted_at"] is None


def test_rate_limit_that_is_over_soon_is_waited_for(mirror: Mirror) -> None:
    mirror.fill("cat")
    mirror.library.cloudinary.faults.answer("list", 420, reset_in=1)
    assert mirror.check().agrees


def test_account_that_cannot_be_reached_is_said(mirror: Mirror) -> None:
    mirror.library.add("cat")
    mirror.library.cloudinary.faults.answer("list", 401)
    (place,) = mirror.check(repair=True).places
    assert place.error is not None and "CLOUDINARY_API_KEY" in place.error


def test_cursor_that_expires_begins_its_listing_anew(mirror: Mirror) -> None:
    for number in range(501):
        mirror.library.insert(mirror.library.cloudinary.account.add(f"a{number:03}"))
    hold = mirror.library.cloudinary.faults.hold("list", skip=1)
    with ThreadPoolExecutor(1) as executor:
        report = executor.submit(mirror.check)
        assert hold.reached.wait(20)
        mirror.library.cloudinary.faults.expire_cursors()
        hold.release()
    (place,) = report.result().places
    assert (place.agrees, place.objects) == (True, 1001)  # the first page was seen twice


def test_command_prints_findings_and_exits_with_1(mirror: Mirror) -> None:
    mirror.library.add("cat")
    mirror.library.cloudinary.account.delete("cat")
    ended = mirror.library.command("check", "--json", "--older-than", "0")
    assert (ended.code, ended.err) == (1, "")
    (finding,) = ended.json["findings"]
    assert (finding["place"], finding["finding"]) == (PLACE, "missing")
    assert ended.json["places"][0]["place"] == PLACE


def test_daily_check_looks_at_the_account_too(mirror: Mirror) -> None:
    library = mirror.library
    library.cloudinary.account.add("stray")
    library.sql("update media_worker.check_turns set slot = slot - interval '2 days'")
    worker = library.start()
    library.wait_for("select objects = 1 from media_worker.check_results where place = %s", PLACE)
    worker.terminate()
