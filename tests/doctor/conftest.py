"""An installation to be looked at."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.archive.conftest import Archive, archive
from tests.support.databases import changed_url, unique_name
from worker.doctor.model import Finding
from worker.doctor.report import examine

__all__ = ["archive"]

OFF = ("cdn is off", "Cloudinary is off")
Examine = Callable[..., list[Finding]]


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in list(os.environ):
        if name not in {"PATH", "HOME", "TMPDIR", "PYTEST_CURRENT_TEST"}:
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def look(monkeypatch: pytest.MonkeyPatch) -> Examine:
    """Examine with these settings only: what is to be mended (what is off is not)."""

    def look(env: dict[str, str], *, fix: bool = False) -> list[Finding]:
        for name, value in env.items():
            monkeypatch.setenv(name, value)
        findings = [finding for finding in examine(fix=fix) if finding.level != "ok"]
        return [finding for finding in findings if not finding.what.startswith(OFF)]

    return look


@pytest.fixture
def sick(archive: Archive, look: Examine) -> Callable[..., list[Finding]]:
    """What is wrong with the installation, but for its having no worker."""

    def sick(*, fix: bool = False, **env: str) -> list[Finding]:
        findings = look(archive.env | env, fix=fix)
        return [finding for finding in findings if finding.what != "no worker is alive"]

    return sick


@pytest.fixture
def login(archive: Archive) -> Iterator[str]:
    """The URL of a login without any right."""
    name = unique_name("login")
    archive.sql(f"create role {name} login")
    yield changed_url(archive.url, user=name)
    archive.sql(f"reassign owned by {name} to current_user")
    archive.sql(f"drop owned by {name}")
    archive.sql(f"drop role {name}")
