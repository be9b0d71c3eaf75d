"""Runs one row in a process of its own, so that one that kills its process takes no other along."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from contextlib import suppress
from uuid import UUID

from worker.logging import get_logger
from worker.queue.model import Claimed

log = get_logger(__name__)
STOP_SECONDS = 5.0


class Isolation:
    """Starts `python -m {module} …` for a claimed row; that process ends the row itself.

    It stops by itself when this process dies: its standard input ends then.
    """

    def __init__(self, module: str, *, worker_id: UUID) -> None:
        self._module = module
        self._worker_id = worker_id

    async def run(self, kind: str, work: Claimed) -> bool:
        """Run the row to its end. False: its process died, and the row is still claimed."""
        log.info("running alone after crashes", kind=kind, id=str(work.id), crashes=work.crashes)
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", self._module, *arguments(kind, work, self._worker_id),
            stdin=asyncio.subprocess.PIPE,
        )  # fmt: skip
        try:
            return await process.wait() == 0
        except asyncio.CancelledError:
            await _stop(process)
            raise


def arguments(kind: str, work: Claimed, worker_id: UUID) -> list[str]:
    """The claim as command line arguments: ids only."""
    return [
        kind,
        str(worker_id),
        str(work.id),
        str(work.token),
        str(work.attempts),
        str(work.crashes),
    ]


def parse(given: Sequence[str]) -> tuple[str, UUID, Claimed]:
    """The reverse of `arguments`."""
    kind, worker_id, id_, token, attempts, crashes = given
    return kind, UUID(worker_id), Claimed(UUID(id_), UUID(token), int(attempts), int(crashes))


async def parent_died() -> None:
    """Return when the process that started this one is gone."""
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    await reader.read()


async def _stop(process: asyncio.subprocess.Process) -> None:
    with suppress(ProcessLookupError):
        process.terminate()
    try:
        async with asyncio.timeout(STOP_SECONDS):
            await process.wait()
    except TimeoutError:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()
