"""A call, once it is known what it asks for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from worker.demo.cloudinary.assets import Key
from worker.demo.cloudinary.journal import Origin
from worker.demo.cloudinary.wire import Params


@dataclass(frozen=True)
class Ask:
    """Parameters, and what the path names: `name` is a public id, a tag or an asset id."""

    params: Params
    origin: Origin
    resource_type: str = ""
    type: str = ""
    name: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def key(self) -> Key:
        return Key(self.resource_type, self.type, self.name)
