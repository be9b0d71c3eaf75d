"""A part of the search language: conditions joined by AND, and an order."""

from __future__ import annotations

import json
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from worker.demo.cloudinary.assets import Asset
from worker.demo.cloudinary.shapes import moment
from worker.demo.cloudinary.wire import Refused

Accept = Callable[[Asset], bool]

_CONDITION = re.compile(r'(?P<field>[\w.]+)\s*(?P<sign>>=|<=|[:=<>])\s*"?(?P<value>[^"]*?)"?')
_COMPARISONS: Mapping[str, Callable[[Any, Any], bool]] = {
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
}
_FIELDS: Mapping[str, Callable[[Asset], Any]] = {
    "asset_id": lambda asset: asset.asset_id,
    "public_id": lambda asset: asset.public_id,
    "resource_type": lambda asset: asset.resource_type,
    "type": lambda asset: asset.type,
    "format": lambda asset: asset.format,
    "folder": lambda asset: asset.asset_folder,
    "asset_folder": lambda asset: asset.asset_folder,
    "display_name": lambda asset: asset.display_name,
    "tags": lambda asset: asset.tags,
    "bytes": lambda asset: len(asset.content),
    "created_at": lambda asset: moment(asset.created_at),
    "uploaded_at": lambda asset: moment(asset.created_at),
}


def expression(text: str) -> Accept:
    """The condition that an expression states. Raises Refused for what is not known here."""
    parts = [part.strip() for part in re.split(r"\s+AND\s+", text.strip()) if part.strip()]
    conditions = [_condition(part) for part in parts]
    return lambda asset: all(condition(asset) for condition in conditions)


def sorting(asked: Sequence[str]) -> tuple[Callable[[Asset], Any], bool]:
    """What to sort by and whether downwards; the newest first unless something is said."""
    if not asked:
        return lambda asset: asset.ordinal, True
    (name, direction), *_ = json.loads(asked[0]).items()
    return _field(name), direction == "desc"


def _condition(text: str) -> Accept:
    matched = _CONDITION.fullmatch(text)
    if not matched:
        raise Refused(400, f"Invalid expression: {text}")
    field, value = _field(matched["field"]), matched["value"]
    comparison = _COMPARISONS.get(matched["sign"])
    if comparison:
        return lambda asset: comparison(field(asset), type(field(asset))(value))
    return lambda asset: _equals(field(asset), value)


def _field(name: str) -> Callable[[Asset], Any]:
    if name not in _FIELDS:
        raise Refused(400, f"Invalid field in a search: {name}")
    return _FIELDS[name]


def _equals(found: Any, value: str) -> bool:
    if isinstance(found, tuple):
        return any(_equals(entry, value) for entry in found)
    if value.endswith("*"):
        return str(found).startswith(value[:-1])
    return str(found) == value
