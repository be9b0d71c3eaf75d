"""What `migrate` would do, step by step, and why it may refuse to."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace


class MigrationRefused(Exception):
    """Something in the database does not fit; nothing was changed.

    Each of `problems` says what does not fit and what to do about it.
    """

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = tuple(problems)
        super().__init__(
            "nothing was changed:\n" + "\n".join(f"- {line}" for line in self.problems)
        )


class MigrationFailed(Exception):
    """A step could not be carried out; those before it stay done, and `migrate` goes on there."""


@dataclass(frozen=True)
class Step:
    """One thing to do, as SQL.

    `joined`: in the same transaction as the step before it, so that nobody sees the state
    between them.
    """

    kind: str
    name: str
    sql: str = field(repr=False)
    transactional: bool = True
    joined: bool = False

    def __str__(self) -> str:
        return f"{self.kind} {self.name}" if self.name else self.kind


@dataclass(frozen=True)
class Plan:
    """The steps between the database as it is and the one that this release needs."""

    steps: tuple[Step, ...]

    @property
    def up_to_date(self) -> bool:
        return not self.steps

    @property
    def transactions(self) -> tuple[tuple[Step, ...], ...]:
        """The steps, those of one transaction together."""
        groups: list[list[Step]] = []
        for step in self.steps:
            if step.joined and groups:
                groups[-1].append(step)
            else:
                groups.append([step])
        return tuple(tuple(group) for group in groups)


def join(steps: Iterable[Step]) -> list[Step]:
    """The same steps in as few transactions as possible."""
    joined: list[Step] = []
    for step in steps:
        follows = bool(joined) and joined[-1].transactional and step.transactional
        joined.append(replace(step, joined=follows))
    return joined
