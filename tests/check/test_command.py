"""`media-worker check`: what it prints, and its exit status."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.check.conftest import Site
from tests.support.command import Ended, media_worker
from worker.cli.commands import app


def command(site: Site, path: Path, *arguments: str) -> Ended:
    return media_worker("check", *arguments, env=site.archive.env, cwd=path)


def lines(site: Site, *arguments: str) -> tuple[int, list[str]]:
    """Exit status and output, in this process."""
    ended = CliRunner().invoke(app, ["check", "--older-than", "0", *arguments])
    return ended.exit_code, ended.stdout.splitlines()


def test_everything_is_printed_as_json(site: Site, tmp_path: Path) -> None:
    track = site.track()
    site.put("others.mp3")
    key = site.key(track)
    site.remove(key)
    ended = command(site, tmp_path, "--json", "--older-than", "0s")
    assert (ended.code, ended.err) == (1, "")
    assert ended.json["success"] is True
    assert ended.json["findings"] == [
        {
            "place": site.place,
            "key": key,
            "finding": "missing",
            "what": f"not there: audio of tracks {track}",
            "repair": "the row says so no more, and the track is archived again",
            "repaired": False,
        },
        {
            "place": site.place,
            "key": "others.mp3",
            "finding": "foreign",
            "what": "Media Worker has not written it",
            "repair": "left as it is",
            "repaired": False,
        },
    ]
    counts = {"missing": 1, "truncated": 0, "other": 0, "orphan": 0, "foreign": 1, "unrecorded": 0}
    assert ended.json["counts"] == counts


def test_findings_and_places_are_a_line_each(site: Site) -> None:
    site.put("others.mp3")
    key = site.key(site.track())
    site.remove(key)
    code, said = lines(site)
    assert code == 1
    assert said[0].startswith(f"missing: {site.place} {key}: not there: audio of tracks")
    assert said[0].endswith("(repair: the row says so no more, and the track is archived again)")
    assert said[1].startswith(f"foreign: {site.place} others.mp3: ")
    assert said[2] == f"{site.place}: 1 objects, 1 missing, 1 foreign"
    assert said[3].endswith(": 0 objects, all as it should be")
    assert said[-1] == "nothing was changed: --repair mends it"

    code, said = lines(site, "--repair")
    assert code == 0
    assert said[0].endswith("(asked for again)")
    assert said[-1] == "the repairs are queued: a worker carries them out (media-worker run)"


def test_exit_status_is_0_where_all_agrees(site: Site) -> None:
    site.track()
    site.put("others.mp3")
    assert lines(site)[0] == 0


def test_deletions_beyond_the_setting_are_refused(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.tracks(2)
    site.archive.sql("truncate tracks")
    monkeypatch.setenv("CHECK_MAX_DELETIONS", "1")
    code, said = lines(site, "--repair")
    assert code == 1
    assert said[-1].startswith("2 objects would be deleted, and 1 may be: none was.")
    assert lines(site, "--repair", "--max-deletions", "2")[0] == 0


def test_keys_do_nothing_to_the_terminal(site: Site) -> None:
    site.put_strange("\x1b[31mred\nmissing: all")
    _, said = lines(site)
    assert r"'\x1b[31mred\nmissing: all'" in said[0]


def test_age_is_read_with_its_unit(site: Site) -> None:
    site.remove(site.key(site.track()))
    for age, code in {"2d": 0, "1h": 0, "90 s": 0, "0m": 1}.items():
        assert CliRunner().invoke(app, ["check", "--older-than", age]).exit_code == code
    assert CliRunner().invoke(app, ["check", "--older-than", "soon"]).exit_code == 2


def test_settings_that_name_no_storage_are_said(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("STORAGE_ENDPOINT", "STORAGE_ACCESS_KEY_ID", "STORAGE_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    ended = CliRunner().invoke(app, ["check"])
    assert ended.exit_code == 2
    assert "STORAGE_ENDPOINT" in ended.stderr
