"""Is what was set complete, valid and known?"""

from __future__ import annotations

from collections.abc import Iterator

from worker.doctor.cdn import check_cdn_settings
from worker.doctor.cloudinary import check_cloudinary_settings
from worker.doctor.model import WHERE, Finding
from worker.errors import Misconfigured
from worker.settings import Settings, load_settings, unknown_variables
from worker.settings.sources import read_variables


def read_settings() -> tuple[Settings | None, list[Finding]]:
    """The settings, None if they are not valid, and what is to be said of them."""
    try:
        settings = load_settings()
    except Misconfigured as error:
        problems = [
            Finding("error", line, f"correct it {WHERE}") for line in str(error).split("\n")
        ]
        return None, [*problems, *_unknown()]
    return settings, [
        *_missing(settings),
        *check_cdn_settings(settings),
        *check_cloudinary_settings(settings),
        *_unknown(),
    ]


def database_url(settings: Settings | None) -> str | None:
    """The database's URL, which is good to know even where other settings are wrong."""
    if settings is not None:
        return settings.database_url.get_secret_value() if settings.database_url else None
    name = "DATABASE_URL"
    return read_variables(wanted=name.__eq__, is_secret=name.__eq__).values.get(name)


def _missing(settings: Settings) -> Iterator[Finding]:
    if settings.database_url is None:
        yield Finding(
            "error",
            "DATABASE_URL is not set",
            f"set DATABASE_URL=postgresql://user@host:5432/name {WHERE}",
        )
    if settings.archive_configured:
        yield Finding("ok", "archive is configured")
    else:
        names = ", ".join(settings.archive_missing)
        yield Finding(
            "warning", f"archive is off, its work waits: {names} not set", f"set {names} {WHERE}"
        )


def _unknown() -> Iterator[Finding]:
    for line in unknown_variables():
        yield Finding("warning", f"unknown setting {line}", "correct the name, or remove it")
