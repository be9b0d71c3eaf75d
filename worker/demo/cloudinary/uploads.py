"""The Upload API: what it answers to each call."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from worker.demo.cloudinary.ask import Ask
from worker.demo.cloudinary.assets import Asset, Key
from worker.demo.cloudinary.edits import (
    Edit,
    context_command,
    edits,
    pairs_of,
    tag_command,
    tags_of,
)
from worker.demo.cloudinary.media import Media, examine
from worker.demo.cloudinary.received import Files
from worker.demo.cloudinary.shapes import Document, Shapes
from worker.demo.cloudinary.signing import Keys
from worker.demo.cloudinary.store import Draft, Store
from worker.demo.cloudinary.wire import FilePart, Params, Refused, split

TYPES = ("upload", "private", "authenticated")
MOST_IDS = 1000

_FORBIDDEN = re.compile(r"[?&#%<>\\]|^[\s/]|[\s/]$|^$")


@dataclass(frozen=True)
class Preset:
    """Parameters that uploads take from the account; only an unsigned one needs no signature."""

    unsigned: bool = False
    params: Mapping[str, str] = field(default_factory=dict)


class Uploads:
    """One method for each kind of call; they raise Refused."""

    def __init__(
        self, store: Store, shapes: Shapes, keys: Keys, clock: Callable[[], float]
    ) -> None:
        self.presets: dict[str, Preset] = {}
        self._store = store
        self._shapes = shapes
        self._keys = keys
        self._clock = clock
        self._files = Files()

    def authorize(self, params: Params, *, action: str) -> None:
        """Raises Refused unless the call is signed, or an upload by an unsigned preset."""
        if action != "upload" or "signature" in params or "api_key" in params:
            self._keys.check_signed(params, action=action, now=self._clock())
        elif not params.text("upload_preset"):
            raise Refused(400, "Upload preset must be specified when using unsigned upload")
        elif not self._preset(params).unsigned:
            message = "Upload preset must be whitelisted for unsigned uploads"
            raise Refused(400, message)

    def upload(self, ask: Ask) -> Document:
        signed = "signature" in ask.params
        params = ask.params.merged(self._preset(ask.params).params)
        file = self._files.whole(params, ask.headers)
        if file is None:
            return {"done": False, "public_id": params.text("public_id"), **_part(ask)}
        draft = _draft(ask.resource_type, params, file)
        overwrite = signed and params.flag("overwrite", default=True)
        asset, outcome = self._store.upload(draft, ask.origin, overwrite=overwrite)
        marks = {"existing": True} if outcome == "existing" else {}
        marks |= {"overwritten": True} if outcome == "overwritten" else {}
        return {**self._shapes.uploaded(asset), **marks}

    def destroy(self, ask: Ask) -> Document:
        gone = self._store.delete([_key(ask, _required(ask.params, "public_id"))], ask.origin)
        return {"result": "ok" if gone else "not found"}

    def rename(self, ask: Ask) -> Document:
        old = _key(ask, _required(ask.params, "from_public_id"))
        name = _valid(_required(ask.params, "to_public_id"))
        new = Key(old.resource_type, ask.params.text("to_type", old.type), name)
        overwrite = ask.params.flag("overwrite")
        asset = self._store.rename(old, new, ask.origin, overwrite=overwrite)
        return self._shapes.uploaded(asset)

    def explicit(self, ask: Ask) -> Document:
        key = _key(ask, _required(ask.params, "public_id"), _required(ask.params, "type"))
        for attribute, value in edits(ask.params):
            self._store.change([key], attribute, value, ask.origin)
        asset = self._store.find(key)
        if asset is None:
            raise Refused(404, f"Resource not found - {key.public_id}")
        return self._shapes.uploaded(asset)

    def tags(self, ask: Ask) -> Document:
        command = tag_command(ask.params.text("command"), tuple(split(ask.params.text("tag"))))
        keys = self._targets(ask)
        tag = ask.params.text("tag")
        if ask.params.text("command") == "set_exclusive":
            self._take_from_others(tag, keys, ask)
        changed = self._store.change(keys, "tags", _known(command), ask.origin)
        return _public_ids(changed)

    def context(self, ask: Ask) -> Document:
        pairs = pairs_of(ask.params.text("context"))
        command = context_command(ask.params.text("command"), pairs)
        keys = self._targets(ask)
        return _public_ids(self._store.change(keys, "context", _known(command), ask.origin))

    def metadata(self, ask: Ask) -> Document:
        pairs = pairs_of(_required(ask.params, "metadata"))
        changed = self._store.change(
            self._targets(ask), "metadata", lambda asset: {**asset.metadata, **pairs}, ask.origin
        )
        return _public_ids(changed)

    def _preset(self, params: Params) -> Preset:
        name = params.text("upload_preset")
        if name and name not in self.presets:
            raise Refused(400, "Upload preset not found")
        return self.presets.get(name, Preset())

    def _targets(self, ask: Ask) -> list[Key]:
        ids = ask.params.entries("public_ids")
        if not ids:
            raise Refused(400, "Missing required parameter - public_ids")
        if len(ids) > MOST_IDS:
            raise Refused(400, f"Too many public_ids: at most {MOST_IDS} are allowed")
        return [_key(ask, public_id) for public_id in ids]

    def _take_from_others(self, tag: str, keys: list[Key], ask: Ask) -> None:
        others = [asset.key for asset in self._store.all() if asset.key not in keys]
        remove = _known(tag_command("remove", (tag,)))
        self._store.change(others, "tags", remove, ask.origin)


def _draft(resource_type: str, params: Params, file: FilePart) -> Draft:
    media = examine(file.content, file.filename)
    kind = _kind(resource_type, media)
    folder = params.text("asset_folder") or params.text("folder")
    return Draft(
        key=Key(kind, _type(params), _public_id(kind, params, file)),
        media=media,
        tags=tags_of(params),
        context=pairs_of(params.text("context")),
        metadata=dict(pairs_of(params.text("metadata"))),
        display_name=params.text("display_name") or None,
        asset_folder=folder.strip("/") or None,
        original_filename=PurePosixPath(file.filename).stem or "file",
        format=params.text("format") or None,
    )


def _kind(resource_type: str, media: Media) -> str:
    if resource_type == "auto" or resource_type == media.kind or resource_type == "raw":
        return media.kind if resource_type == "auto" else resource_type
    if resource_type == "image":
        raise Refused(400, "Invalid image file")
    raise Refused(400, "Unsupported video format or file")


def _type(params: Params) -> str:
    type = params.text("type") or "upload"
    if type not in TYPES:
        raise Refused(400, f"Invalid type {type}")
    return type


def _public_id(kind: str, params: Params, file: FilePart) -> str:
    """As given or made up; a raw asset's id carries the extension of its file."""
    path = PurePosixPath(file.filename)
    name = params.text("public_id")
    if not name:
        random = secrets.token_hex(10)
        name = f"{path.stem}_{random[:6]}" if params.flag("use_filename") else random
        name = f"{name}{path.suffix}" if kind == "raw" else name
    prefix = params.text("folder") or params.text("public_id_prefix")
    return _valid(f"{prefix.strip('/')}/{name}" if prefix else name)


def _key(ask: Ask, public_id: str, type: str | None = None) -> Key:
    return Key(ask.resource_type, type or ask.params.text("type", "upload"), public_id)


def _valid(public_id: str) -> str:
    if _FORBIDDEN.search(public_id):
        raise Refused(400, f"public_id ({public_id}) is invalid")
    return public_id


def _required(params: Params, name: str) -> str:
    text = params.text(name)
    if not text:
        raise Refused(400, f"Missing required parameter - {name}")
    return text


def _known(command: Edit | None) -> Edit:
    if command is None:
        raise Refused(400, "Invalid value for parameter command")
    return command


def _public_ids(assets: list[Asset]) -> Document:
    return {"public_ids": [asset.public_id for asset in assets]}


def _part(ask: Ask) -> Document:
    return {"kind": "upload", "bytes": len(ask.params.file.content) if ask.params.file else 0}
