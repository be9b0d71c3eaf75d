"""Findings about the settings."""

from __future__ import annotations

import pytest

from tests.doctor.conftest import Examine
from worker.doctor.model import Finding

STORAGE = {
    "STORAGE_ENDPOINT": "http://127.0.0.1:1",
    "STORAGE_ACCESS_KEY_ID": "id",
    "STORAGE_SECRET_ACCESS_KEY": "hush-hush",
}


def about(findings: list[Finding], text: str) -> Finding:
    found = [finding for finding in findings if text in finding.what]
    assert len(found) == 1, findings
    return found[0]


def test_nothing_configured_names_what_is_missing(look: Examine) -> None:
    findings = look({})
    assert [finding.level for finding in findings] == ["error", "warning"]
    assert about(findings, "DATABASE_URL is not set").mend.startswith("set DATABASE_URL=")
    off = about(findings, "archive is off")
    assert "STORAGE_ENDPOINT, STORAGE_ACCESS_KEY_ID, STORAGE_SECRET_ACCESS_KEY" in off.mend


def test_half_configured_storage_is_an_error_that_names_the_missing_one(look: Examine) -> None:
    half = {name: value for name, value in STORAGE.items() if name != "STORAGE_SECRET_ACCESS_KEY"}
    (finding,) = look(half)
    assert finding.level == "error"
    assert finding.what.startswith("STORAGE_SECRET_ACCESS_KEY missing")


def test_every_wrong_setting_is_a_finding_of_its_own(look: Examine) -> None:
    findings = look({"SERVE_PORT": "many", "ARCHIVE_DAILY_AT": "noon"})
    assert len(findings) == 2
    assert about(findings, "SERVE_PORT").level == "error"
    assert about(findings, "ARCHIVE_DAILY_AT").level == "error"


def test_misspelt_name_gets_a_suggestion(look: Examine) -> None:
    finding = about(look({"STORAGE_ENDPIONT": "http://127.0.0.1:1"}), "STORAGE_ENDPIONT")
    assert finding.level == "warning"
    assert "did you mean STORAGE_ENDPOINT?" in finding.what


@pytest.mark.parametrize("name", ["STORAGE_ENDPOINT", "R2_ENDPOINT"])
def test_public_address_is_no_endpoint(look: Examine, name: str) -> None:
    finding = about(look(STORAGE | {name: "https://pub-1.r2.dev"}), "r2.dev")
    assert finding.level == "error"
    assert name in finding.what
    assert "r2.cloudflarestorage.com" in finding.what


def test_database_is_looked_at_although_another_setting_is_wrong(
    look: Examine, empty_database: str
) -> None:
    findings = look({"DATABASE_URL": empty_database, "SERVE_PORT": "many"})
    assert about(findings, "the schema is missing").mend == "media-worker migrate"


def test_secrets_of_settings_are_not_told(look: Examine) -> None:
    url = "postgresql://someone:hush-hush@127.0.0.1:1/name?connect_timeout=1"
    findings = look(STORAGE | {"DATABASE_URL": url})
    assert "hush-hush" not in repr(findings)
    assert "pg_isready -h 127.0.0.1 -p 1" in about(findings, "PostgreSQL").mend


def test_unreadable_url_is_told_without_quoting_it(look: Examine) -> None:
    (finding,) = look(
        {"DATABASE_URL": "postgresql://someone:hush@hush@/x?y"} | dict.fromkeys(STORAGE, "")
    )[1:]
    assert "hush" not in repr(finding)
    assert "libpq" in finding.what
