"""What a scene of the demonstration is: a title, steps, something to watch, and proofs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from worker.demo.proof import Check


@dataclass(frozen=True)
class Step:
    """Something that an application does, and what comes of it.

    `says` announces it, `does` does it, `until` tells that all of its consequences are there.
    """

    says: str
    does: Callable[[], object]
    until: Callable[[], bool]


class Scene(Protocol):
    """One capability at work. It is made with the stage that it plays on.

    `title` is a word or two, `story` a sentence.

    `rows` is looked at many times a second and says how things are now, a row for each thing,
    in the order of `columns`: its name, what is special about it, then what changes. `checks`
    are made when all scenes are over.
    """

    @property
    def title(self) -> str: ...
    @property
    def story(self) -> str: ...
    @property
    def columns(self) -> Sequence[str]: ...

    def steps(self) -> Sequence[Step]: ...
    def rows(self) -> Sequence[Sequence[str]]: ...
    def checks(self) -> Sequence[Check]: ...
