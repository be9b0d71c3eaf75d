"""What a request wants changed about an asset."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from worker.demo.cloudinary.assets import Asset, Attribute
from worker.demo.cloudinary.wire import Params, split

Edit = Callable[[Asset], Any]


def edits(params: Params) -> Iterator[tuple[Attribute, Edit]]:
    """The attributes that a request sets, each with the value that it gets."""
    if "tags" in params:
        yield "tags", _always(tags_of(params))
    if "context" in params:
        yield "context", _always(pairs_of(params.text("context")))
    if "metadata" in params:
        given = pairs_of(params.text("metadata"))
        yield "metadata", lambda asset: {**asset.metadata, **given}
    if "display_name" in params:
        yield "display_name", _always(params.text("display_name"))
    if "asset_folder" in params:
        yield "asset_folder", _always(params.text("asset_folder").strip("/"))


def tags_of(params: Params) -> tuple[str, ...]:
    """The tags that are given, each once."""
    return tuple(dict.fromkeys(split(params.text("tags"))))


def pairs_of(text: str) -> dict[str, str]:
    """The pairs of `a=1|b=2`; a backslash keeps `|` and `=` within a value."""
    pairs = {}
    for pair in re.split(r"(?<!\\)\|", text):
        name, separator, value = pair.partition("=")
        if separator:
            pairs[name.strip()] = re.sub(r"\\([=|\\])", r"\1", value)
    return pairs


def tag_command(command: str, tags: tuple[str, ...]) -> Edit | None:
    """What a command does with an asset's tags; None for one that does not exist."""
    commands: Mapping[str, Edit] = {
        "add": lambda asset: tuple(dict.fromkeys((*asset.tags, *tags))),
        "set_exclusive": lambda asset: tuple(dict.fromkeys((*asset.tags, *tags))),
        "remove": lambda asset: tuple(tag for tag in asset.tags if tag not in tags),
        "replace": _always(tags),
        "remove_all": _always(()),
    }
    return commands.get(command)


def context_command(command: str, pairs: dict[str, str]) -> Edit | None:
    """What a command does with an asset's context; None for one that does not exist."""
    commands: Mapping[str, Edit] = {
        "add": lambda asset: {**asset.context, **pairs},
        "remove_all": _always({}),
    }
    return commands.get(command)


def _always(value: Any) -> Edit:
    return lambda _: value
