"""`media-worker sync upload` of files that go in parts, over connections that break."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from tests.support.wait import wait_until
from tests.sync.site import Site
from tests.sync.test_command import answer
from worker.cloudinary.parts import PART
from worker.demo.bodies import media

MELODY = media("melody.mp3").content


def large_file(path: Path, size: int) -> Path:
    """A melody, repeated until the file has that size."""
    with path.open("wb") as file:
        while file.tell() < size:
            file.write(MELODY * 100)
        file.truncate(size)
    return path


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file of four parts."""
    return large_file(tmp_path / "concert.mp3", 3 * PART + 1234)


def assert_nothing_is_left(site: Site) -> None:
    assert len(site.cloudinary.account) == 0
    assert site.one("select count(*) from media_files") == 0


def test_large_file_goes_in_parts_and_gets_its_row(site: Site, file: Path) -> None:
    (row,) = answer(site, "upload", str(file))["files"]
    asset = site.cloudinary.account.get(row["public_id"], resource_type="video")
    assert asset is not None
    assert asset.content == file.read_bytes()
    assert (asset.original_filename, row["bytes"]) == ("concert", file.stat().st_size)
    assert site.cloudinary.calls["upload"] == 4


@pytest.mark.parametrize("arrived", [False, True])
def test_part_whose_connection_breaks_is_sent_again(site: Site, file: Path, arrived: bool) -> None:
    site.cloudinary.faults.cut("upload", skip=1, after_effect=arrived)
    (row,) = answer(site, "upload", str(file))["files"]
    asset = site.cloudinary.account.get(row["public_id"], resource_type="video")
    assert asset is not None
    assert asset.content == file.read_bytes()
    assert site.cloudinary.calls["upload"] == 5


def test_connection_that_breaks_again_and_again_leaves_nothing(site: Site, file: Path) -> None:
    site.cloudinary.faults.cut("upload", skip=1, times=100)
    (error,) = answer(site, "upload", str(file), status=1)["errors"]
    assert "cannot be reached" in error
    assert site.cloudinary.calls["upload"] == 5
    assert_nothing_is_left(site)


def test_lost_answer_to_the_last_part_leaves_nothing(site: Site, file: Path) -> None:
    site.cloudinary.faults.cut("upload", skip=3, after_effect=True)
    (error,) = answer(site, "upload", str(file), status=1)["errors"]
    assert "removed again" in error
    assert_nothing_is_left(site)


def test_lost_answer_to_a_small_file_leaves_nothing(site: Site, tmp_path: Path) -> None:
    site.cloudinary.faults.cut("upload", after_effect=True)
    small = large_file(tmp_path / "jingle.mp3", 5000)
    (error,) = answer(site, "upload", str(small), status=1)["errors"]
    assert "removed again" in error
    assert_nothing_is_left(site)


def test_large_file_whose_row_cannot_be_inserted_is_removed_again(site: Site, file: Path) -> None:
    site.sql("alter table media_files add constraint no_concerts check (bytes < 1000000)")
    (error,) = answer(site, "upload", str(file), status=1)["errors"]
    assert "no_concerts" in error and "removed again" in error
    assert site.cloudinary.calls["upload"] == 4
    assert_nothing_is_left(site)


def test_interrupted_large_file_goes_no_further(site: Site, file: Path) -> None:
    hold = site.cloudinary.faults.hold("upload", skip=1)
    process = site.command("sync", "upload", str(file))
    wait_until(hold.reached.is_set, message="the second part", timeout=20)
    os.kill(process.pid, signal.SIGINT)
    hold.release()
    assert process.wait(20) == 130
    assert site.cloudinary.calls["upload"] < 4
    assert_nothing_is_left(site)


def test_file_that_changes_meanwhile_is_not_taken_for_whole(site: Site, file: Path) -> None:
    hold = site.cloudinary.faults.hold("upload", skip=1)
    process = site.command("sync", "upload", str(file), "--json")
    wait_until(hold.reached.is_set, message="the second part", timeout=20)
    os.truncate(file, 2 * PART + 1)
    hold.release()
    assert process.wait(30) == 1
    assert "was changed while it was uploaded" in process.log
    assert_nothing_is_left(site)


def test_memory_holds_no_whole_file(site: Site, tmp_path: Path) -> None:
    sizes = {"small": 5000, "large": 14 * PART}
    peaks = {name: peak(site, large_file(tmp_path / name, size)) for name, size in sizes.items()}
    assert peaks["large"] - peaks["small"] < 6 * PART


def peak(site: Site, file: Path) -> int:
    """The most memory that an upload of the file has had, in bytes, before its last answer."""
    parts = -(-file.stat().st_size // PART)
    hold = site.cloudinary.faults.hold("upload", skip=parts - 1)
    process = site.command("sync", "upload", str(file))
    wait_until(hold.reached.is_set, message="the last part", timeout=60)
    status = Path(f"/proc/{process.pid}/status").read_text()
    hold.release()
    assert process.wait(20) == 0, process.log
    (line,) = (line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024
