"""`media-worker sync` and `media-worker sync upload`."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.support.wait import wait_until
from tests.sync.site import Site
from worker.demo.bodies import media
from worker.demo.cloudinary.uploads import Preset


def answer(site: Site, *arguments: str, status: int = 0, **more: str) -> dict[str, Any]:
    process = site.command("sync", *arguments, "--json", **more)
    assert process.wait(40) == status, process.log
    found: dict[str, Any] = json.loads(process.log.splitlines()[-1])
    return found


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """A picture and a melody, the one with an unusual name."""
    made = [tmp_path / "my cat? 100%.png", tmp_path / "song.mp3"]
    for path, name in zip(made, ("cover.png", "melody.mp3"), strict=True):
        path.write_bytes(media(name).content)
    return made


def test_without_a_worker_it_does_the_work_itself(site: Site) -> None:
    for number in range(3):
        site.cloudinary.account.add(f"a{number}")
    found = answer(site, "--wait", "--batch-size", "2")
    assert found["success"] is True
    assert (found["seen"], found["inserted"]) == (3, 3)
    site.assert_mirrored()
    again = answer(site, "--wait")
    assert again["message"] == "Nothing has changed"


def test_it_asks_and_returns(site: Site) -> None:
    run = answer(site, "--force", "--batch-size", "7")["run_id"]
    row = site.run(run)
    assert (row["status"], row["force"], row["batch_size"]) == ("pending", True, 7)
    process = site.command("sync", "--asset", "x")
    assert process.wait(20) == 0
    assert process.log.startswith("queued: run ")
    assert site.one("select count(*) from media_sync_runs where single_asset = 'x'") == 1


def test_a_failed_run_is_said(site: Site) -> None:
    failed = answer(site, "--wait", "--asset", "nowhere", status=1)
    assert failed["success"] is False
    assert "nowhere" in failed["error"]


def test_senseless_options_are_wrong_usage(site: Site) -> None:
    assert site.command("sync", "--batch-size", "501").wait(20) == 2
    assert site.command("sync", "upload", "/nowhere").wait(20) == 2


def test_uploaded_files_get_their_rows(site: Site, files: list[Path]) -> None:
    found = answer(site, "upload", *map(str, files), CLOUDINARY_FOLDER="library")
    assert found["success"] is True
    rows = site.sql("select * from media_files order by filename")
    assert [row["filename"] for row in rows] == [path.name for path in files]
    assert [row["resource_type"] for row in rows] == ["image", "video"]
    assert [row["mime_type"] for row in rows] == ["image/png", "audio/mpeg"]
    for row, path in zip(rows, files, strict=True):
        asset = site.cloudinary.account.get(row["public_id"], resource_type=row["resource_type"])
        assert asset is not None
        assert asset.content == path.read_bytes()
        assert row["public_id"].startswith("library/")
        assert row["folder"] == "library"
        assert (row["status"], row["bytes"]) == ("active", len(asset.content))


def test_an_asset_whose_row_cannot_be_inserted_is_removed_again(
    site: Site, files: list[Path]
) -> None:
    site.sql("alter table media_files add constraint no_songs check (filename <> 'song.mp3')")
    found = answer(site, "upload", *map(str, files), status=1)
    assert found["success"] is False
    (error,) = found["errors"]
    assert "song.mp3" in error and "removed again" in error
    assert len(site.cloudinary.account) == 1
    assert site.one("select count(*) from media_files") == 1


def test_a_private_asset_is_removed_again_too(site: Site, files: list[Path]) -> None:
    site.cloudinary.account.presets["mine"] = Preset(params={"type": "private"})
    site.sql("alter table media_files add constraint no_rows check (false)")
    answer(site, "upload", str(files[0]), status=1, CLOUDINARY_UPLOAD_PRESET="mine")
    assert site.cloudinary.calls["upload"] == 1
    assert len(site.cloudinary.account) == 0


def test_a_refused_file_leaves_nothing(site: Site, files: list[Path]) -> None:
    site.cloudinary.faults.answer("upload", 400, message="Invalid image file")
    found = answer(site, "upload", str(files[0]), status=1)
    assert "Invalid image file" in found["errors"][0]
    assert site.one("select count(*) from media_files") == 0


def test_an_interrupted_upload_is_removed_again(site: Site, files: list[Path]) -> None:
    hold = site.cloudinary.faults.hold("upload")
    process = site.command("sync", "upload", str(files[0]))
    wait_until(hold.reached.is_set, message="the upload", timeout=20)
    os.kill(process.pid, signal.SIGINT)
    hold.release()
    assert process.wait(20) == 130
    assert len(site.cloudinary.account) == 0
    assert site.one("select count(*) from media_files") == 0


def test_without_an_account_the_variables_are_named(site: Site, files: list[Path]) -> None:
    process = site.command("sync", "upload", str(files[0]), CLOUDINARY_URL="")
    assert process.wait(20) == 2
    assert "CLOUDINARY_CLOUD_NAME" in process.log
