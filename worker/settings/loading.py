"""From the variables to valid settings, or to one list of everything that is wrong with them."""

from __future__ import annotations

import difflib
import re
from typing import Any, get_args

from pydantic import SecretStr, ValidationError

from worker.errors import Misconfigured
from worker.settings.buckets import R2_TARGET, TARGET_FIELDS
from worker.settings.model import Settings
from worker.settings.sources import Variables, read_names, read_variables
from worker.settings.values import members

FIELDS = {name.upper(): name for name in Settings.model_fields if name != "cdn_further"}
ALIASES = {"NEXT_PUBLIC_CLOUDINARY_CLOUD_NAME": "CLOUDINARY_CLOUD_NAME"}
TARGET_VARIABLE = re.compile(rf"CDN_[A-Z]\w*_({'|'.join(TARGET_FIELDS)})")
TARGET_SECRET = re.compile(r"CDN_[A-Z]\w*_(ACCESS_KEY_ID|SECRET_ACCESS_KEY)")
PREFIXES = (
    "STORAGE_", "R2_", "CDN_", "CLOUDFLARE_", "CLOUDINARY_", "ARCHIVE_", "DOWNLOAD_",
    "CHECK_", "CLEANUP_", "DELETE_", "SERVE_", "WORKER_",
)  # fmt: skip


def load_settings(**overrides: Any) -> Settings:
    """Read the settings; `overrides` (by field name) win over every variable, None is no value.

    Raises `Misconfigured` with all problems at once, a line each.
    """
    strangers = overrides.keys() - Settings.model_fields.keys()
    if strangers:
        raise TypeError(f"no such setting: {', '.join(sorted(strangers))}")
    found = read_variables(wanted=_is_ours, is_secret=_is_secret)
    values: dict[str, Any] = _by_field(found)
    values |= {name: value for name, value in overrides.items() if value is not None}
    values.setdefault("cdn_further", _by_target(found, values.get("cdn_targets", ())))
    settings, wrong = _validate(values)
    problems = found.problems + wrong or (settings.half_configured if settings else [])
    if settings is None or problems:
        raise Misconfigured("\n".join(problems))
    return settings


def unknown_variables() -> list[str]:
    """Variables that look like ours and are not: most likely misspelt. A line each, for people."""
    known = _known_names()
    strangers = [name for name in read_names() if name.startswith(PREFIXES) and name not in known]
    return [_with_suggestion(name, known) for name in strangers]


def _by_field(found: Variables) -> dict[str, Any]:
    for alias, name in ALIASES.items():
        if alias in found.values:
            found.values.setdefault(name, found.values[alias])
    return {FIELDS[name]: text for name, text in found.values.items() if name in FIELDS}


def _by_target(found: Variables, targets: Any) -> dict[str, dict[str, str]]:
    names = members(targets) if isinstance(targets, str) else targets
    return {
        name.lower(): {
            part.lower(): text
            for part in TARGET_FIELDS
            if (text := found.values.get(f"CDN_{name.upper()}_{part}"))
        }
        for name in names
        if name.lower() != R2_TARGET
    }


def _validate(values: dict[str, Any]) -> tuple[Settings | None, list[str]]:
    try:
        return Settings(**values), []
    except ValidationError as error:
        details = error.errors(include_input=False, include_url=False)
        lines = (_line(_variable(detail["loc"]), detail["msg"]) for detail in details)
        return None, list(dict.fromkeys(lines))


def _variable(location: tuple[int | str, ...]) -> str:
    field, *inner = location
    if field == "cdn_further":
        return f"CDN_{inner[0]}_{inner[1]}".upper()
    return str(field).upper()


def _line(name: str, message: str) -> str:
    message = re.sub(r"^Value error, ", "", message)
    message = re.sub(r"^Input should be", "must be", message)
    return f"{name} {message}" if message.startswith(("must", "is")) else f"{name}: {message}"


def _secrets() -> list[str]:
    fields = Settings.model_fields.items()
    return [name.upper() for name, field in fields if SecretStr in _parts(field.annotation)]


def _parts(annotation: Any) -> set[Any]:
    inner = {part for each in get_args(annotation) for part in _parts(each)}
    return {annotation} | inner


def _is_ours(name: str) -> bool:
    return name in FIELDS or name in ALIASES or TARGET_VARIABLE.fullmatch(name) is not None


def _is_secret(name: str) -> bool:
    return name in _secrets() or TARGET_SECRET.fullmatch(name) is not None


def _known_names() -> set[str]:
    found = read_variables(wanted=_is_ours, is_secret=lambda _name: False)
    targets = found.values.get("CDN_TARGETS", "")
    ours = {f"CDN_{name.upper()}_{part}" for name in members(targets) for part in TARGET_FIELDS}
    files = {f"{name}_FILE" for name in {*_secrets(), *ours}}
    return FIELDS.keys() | ours | files


def _with_suggestion(name: str, known: set[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.8)
    return f"{name} (did you mean {close[0]}?)" if close else name
