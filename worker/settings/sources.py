"""Where variables come from: the environment, then `.env`, then the credentials directory."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from dotenv import dotenv_values

DOTENV = Path(".env")


@dataclass
class Variables:
    """The variables that are set, names in capitals, and what kept some from being read."""

    values: dict[str, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


def read_variables(*, wanted: Callable[[str], bool], is_secret: Callable[[str], bool]) -> Variables:
    """Read all sources; an earlier one wins. An empty value counts as not set.

    `wanted` decides which files of the credentials directory are read; a variable that
    `is_secret` may name a file instead (`NAME_FILE`).
    """
    found = Variables()
    found.values = {
        **_read_credentials(found.problems, wanted),
        **_read_dotenv(found.problems),
        **_set_ones(os.environ),
    }
    for name in [name.removesuffix("_FILE") for name in found.values if name.endswith("_FILE")]:
        if is_secret(name):
            _read_secret_file(found, name)
    return found


def read_names() -> list[str]:
    """The names that are set in the environment and in `.env`, in capitals."""
    return sorted({**_read_dotenv([]), **_set_ones(os.environ)})


def _read_dotenv(problems: list[str]) -> dict[str, str]:
    if not DOTENV.exists():
        return {}
    try:
        return _set_ones(dotenv_values(DOTENV, encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        problems.append(f".env cannot be read: {_reason(error)}")
        return {}


def _read_credentials(problems: list[str], wanted: Callable[[str], bool]) -> dict[str, str]:
    directory = os.environ.get("CREDENTIALS_DIRECTORY")
    if not directory:
        return {}
    found: dict[str, str | None] = {}
    try:
        files = [path for path in sorted(Path(directory).iterdir()) if wanted(path.name.upper())]
    except OSError as error:
        problems.append(f"CREDENTIALS_DIRECTORY cannot be read: {_reason(error)}")
        return {}
    for path in files:
        found[path.name] = _read_file(path, f"{path.name} of CREDENTIALS_DIRECTORY", problems)
    return _set_ones(found)


def _read_secret_file(found: Variables, name: str) -> None:
    path = found.values.pop(f"{name}_FILE")
    if name in found.values:
        found.problems.append(f"{name} and {name}_FILE are both set: keep one of them")
        return
    content = _read_file(Path(path), f"{name}_FILE", found.problems)
    found.values.update(_set_ones({name: content}))


def _read_file(path: Path, origin: str, problems: list[str]) -> str | None:
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        problems.append(f"{origin} cannot be read: {_reason(error)}")
        return None


def _set_ones(values: Mapping[str, str | None]) -> dict[str, str]:
    # Sorted backwards, so that a name in capitals wins over the same in small letters.
    ordered = sorted(values.items(), reverse=True)
    return {name.upper(): text.strip() for name, text in ordered if text and text.strip()}


def _reason(error: OSError | UnicodeDecodeError) -> str:
    if isinstance(error, OSError):
        return f"{error.strerror} ({error.filename})"
    return "it is not UTF-8 text"
