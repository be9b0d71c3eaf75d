"""What comes over the wire and what goes back: requests, their parameters, answers."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

Value = str | list[str]


class Refused(Exception):
    """A request is refused with this status and message."""

    def __init__(self, status: int, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.headers = dict(headers or {})


@dataclass(frozen=True)
class Request:
    """A request as it arrived at `at` (seconds since 1970); header names are lower-case."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes = field(repr=False)
    at: float


@dataclass(frozen=True)
class Reply:
    """An answer."""

    status: int
    body: bytes = field(repr=False)
    headers: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Reply:
        """A JSON document."""
        content = json.dumps(value, ensure_ascii=False).encode()
        more = {"Content-Type": "application/json; charset=utf-8", **(headers or {})}
        return cls(status, content, more)

    @classmethod
    def refusal(cls, refused: Refused) -> Reply:
        """An error in the shape that every part of the API uses."""
        headers = {"X-Cld-Error": _in_a_header(refused.message), **refused.headers}
        return cls.of({"error": {"message": refused.message}}, refused.status, headers)


@dataclass(frozen=True)
class FilePart:
    """An uploaded file."""

    filename: str
    content: bytes = field(repr=False)


@dataclass(frozen=True)
class Params:
    """The parameters of a request, wherever they stood; a list is one even with one entry."""

    values: Mapping[str, Value]
    file: FilePart | None = None

    @classmethod
    def of(cls, request: Request) -> Params:
        """Those of query and body together. Raises Refused for a body that cannot be read."""
        pairs: list[tuple[str, Value]] = []
        pairs += parse_qsl(request.query, keep_blank_values=True)
        file = None
        kind = request.headers.get("content-type", "")
        if kind.startswith("multipart/form-data"):
            fields, file = _multipart(kind, request.body)
            pairs += fields
        elif kind.startswith("application/json") and request.body:
            pairs += _json_pairs(request.body)
        elif request.body:
            pairs += parse_qsl(request.body.decode(), keep_blank_values=True)
        return cls(_collected(pairs), file)

    def text(self, name: str, default: str = "") -> str:
        value = self.values.get(name, default)
        return ",".join(value) if isinstance(value, list) else value

    def entries(self, name: str) -> list[str]:
        """A list's entries; a plain value is split at its commas."""
        value = self.values.get(name, [])
        return split(value) if isinstance(value, str) else value

    def flag(self, name: str, *, default: bool = False) -> bool:
        text = self.text(name)
        return text.lower() in ("true", "1", "yes") if text else default

    def number(self, name: str, default: int) -> int:
        text = self.text(name) or str(default)
        if not text.isdecimal():
            raise Refused(400, f"Invalid value for parameter {name}")
        return int(text)

    def merged(self, defaults: Mapping[str, str]) -> Params:
        """The same, with defaults for what is not given."""
        return Params({**defaults, **self.values}, self.file)

    def __contains__(self, name: str) -> bool:
        return name in self.values


def split(text: str) -> list[str]:
    """The entries of a comma-separated list."""
    return [entry.strip() for entry in text.split(",") if entry.strip()]


def _collected(pairs: Iterable[tuple[str, Value]]) -> dict[str, Value]:
    values: dict[str, Value] = {}
    for name, value in pairs:
        plain = re.sub(r"\[\d*\]$", "", name)
        if isinstance(value, list) or plain == name:
            values[plain] = value
            continue
        known = values.setdefault(plain, [])
        if isinstance(known, list):
            known.append(value)
    return values


def _json_pairs(body: bytes) -> list[tuple[str, Value]]:
    try:
        document = json.loads(body)
    except ValueError as error:
        raise Refused(400, "Invalid JSON in the request's body") from error
    if not isinstance(document, dict):
        raise Refused(400, "Invalid JSON in the request's body")
    return [(name, _plain(value)) for name, value in document.items() if value is not None]


def _plain(value: Any) -> Value:
    if isinstance(value, list):
        return [entry if isinstance(entry, str) else json.dumps(entry) for entry in value]
    return value if isinstance(value, str) else json.dumps(value)


def _multipart(kind: str, body: bytes) -> tuple[list[tuple[str, Value]], FilePart | None]:
    boundary = re.search(r'boundary="?([^";]+)', kind)
    if not boundary:
        raise Refused(400, "Missing boundary in a multipart body")
    fields: list[tuple[str, Value]] = []
    file = None
    for part in body.split(b"--" + boundary[1].encode())[1:-1]:
        head, _, content = part.removeprefix(b"\r\n").partition(b"\r\n\r\n")
        content = content.removesuffix(b"\r\n")
        name, filename = _disposition(head.decode())
        if filename is None:
            fields.append((name, content.decode()))
        else:
            file = FilePart(filename, content)
    return fields, file


def _disposition(head: str) -> tuple[str, str | None]:
    name = re.search(r'\bname="([^"]*)"', head)
    filename = re.search(r'\bfilename="([^"]*)"', head)
    return name[1] if name else "", filename[1] if filename else None


def _in_a_header(text: str) -> str:
    return text.encode("ascii", "replace").decode().replace("\n", " ").replace("\r", " ")
