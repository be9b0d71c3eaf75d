"""What `media-worker doctor` prints."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.archive.conftest import Archive
from tests.support.command import media_worker
from worker.doctor.model import Finding, without_secrets
from worker.doctor.report import print_findings


def test_json_has_level_what_and_mend(archive: Archive, tmp_path: Path) -> None:
    ended = media_worker("doctor", "--json", env=archive.env, cwd=tmp_path)
    assert (ended.code, ended.err) == (0, "")
    assert {tuple(finding) for finding in ended.json} == {("level", "what", "mend")}
    assert {"level": "warning", "what": "no worker is alive", "mend": "media-worker run"} in (
        ended.json
    )


def test_an_error_makes_the_exit_status_1(tmp_path: Path) -> None:
    ended = media_worker("doctor", env={}, cwd=tmp_path)
    assert (ended.code, ended.err) == (1, "")
    assert "DATABASE_URL is not set" in ended.out
    assert ended.out.splitlines()[-1] == "1 error, 1 warning"


def test_what_mends_stands_below_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    command = "grant something to somebody " * 10
    print_findings([Finding("error", "it is [broken]", command), Finding("ok", "fine")])
    assert capsys.readouterr().out.splitlines() == [
        "error    it is [broken]",
        f"         -> {command}",
        "ok       fine",
        "1 error, no warnings",
    ]


def test_no_finding_carries_a_secret() -> None:
    (finding,) = without_secrets(
        [Finding("error", "see postgresql://me:hush@host/db", "call https://host/a?sig=hush")]
    )
    assert "hush" not in repr(finding)
