"""`python -m tests.faults.poisoned`: a worker that tracks with the title `poison` kill.

With arguments: the process that runs one row of it alone.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from uuid import UUID

from worker import daemon, logging
from worker.ability import Ability, Tools
from worker.app import compose
from worker.errors import WorkError
from worker.isolated import main as run_alone
from worker.product import product
from worker.queue.model import Action, Claimed, Outcome
from worker.settings import load_settings

POISON = """
    select 1 from track_archiving_jobs as j join tracks as t on t.id = j.track_id
    where j.id = any (%s) and t.title = 'poison'
"""


def main() -> None:
    if len(sys.argv) > 1:
        run_alone(capabilities=poisoned)
    logging.configure()
    settings = load_settings()
    daemon.leave(
        daemon.run(
            lambda: compose(
                settings, capabilities=poisoned, isolated_module="tests.faults.poisoned"
            )
        )
    )


def poisoned(tools: Tools) -> Sequence[Ability]:
    """The product, with an action for archiving that some tracks kill."""
    return [
        replace(ability, kinds=tuple(_weak(kind, tools) for kind in ability.kinds))
        for ability in product(tools)
    ]


def _weak(kind, tools: Tools):  # type: ignore[no-untyped-def]
    return replace(kind, act=_dying(kind.act, tools)) if kind.name == "archive" else kind


def _dying(act: Action, tools: Tools) -> Action:
    async def act_or_die(works: Sequence[Claimed]) -> Mapping[UUID, Outcome | WorkError]:
        if await tools.database.call(POISON, ([work.id for work in works],)):
            os.kill(os.getpid(), signal.SIGKILL)
        return await act(works)

    return act_or_die


if __name__ == "__main__":
    main()
