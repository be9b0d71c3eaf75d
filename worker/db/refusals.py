"""What PostgreSQL's refusals mean to the person at the command line."""

from __future__ import annotations

import psycopg
from psycopg import errors

ABSENT = (
    errors.UndefinedTable,
    errors.UndefinedFunction,
    errors.UndefinedColumn,
    errors.InvalidSchemaName,
)


def explained(error: psycopg.Error) -> str:
    """One line, with what to do about it where that is known."""
    said = error.diag.message_primary
    if said is None:
        return f"the connection to PostgreSQL broke: {str(error).partition(chr(10))[0]}"
    if isinstance(error, ABSENT):
        return f"{said}: run media-worker migrate"
    if isinstance(error, errors.InsufficientPrivilege):
        return f"{said}: media-worker doctor says what to grant"
    return f"{said} ({error.diag.message_hint})" if error.diag.message_hint else said
