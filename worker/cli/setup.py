"""The settings of commands that need the database."""

from __future__ import annotations

from worker.errors import Misconfigured
from worker.settings import Settings, load_settings


def settings_with_database() -> Settings:
    """The settings, with a `DATABASE_URL` that libpq can read. Raises `Misconfigured`."""
    from psycopg import ProgrammingError
    from psycopg.conninfo import conninfo_to_dict

    settings = load_settings()
    if settings.database_url is None:
        raise Misconfigured(
            "DATABASE_URL is not set: set it to a PostgreSQL URL, in the environment or in .env"
        )
    try:
        conninfo_to_dict(settings.database_url.get_secret_value())
    except ProgrammingError:
        # libpq quotes what it cannot read, and that may be the password
        raise Misconfigured(
            "DATABASE_URL is no URL that libpq understands: in a password, write @ as %40"
            " and / as %2F"
        ) from None
    return settings


def database_url() -> str:
    """The URL of the database. Raises `Misconfigured`."""
    url = settings_with_database().database_url
    return url.get_secret_value() if url else ""
