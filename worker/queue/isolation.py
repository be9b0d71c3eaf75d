"""Runs one row in a process of its own, so that one that kills its process takes no other along."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from enum import Enum
from uuid import UUID

from worker.logging import get_logger
from worker.queue.model import Claimed

log = get_logger(__name__)
STOP_SECONDS = 5.0
# What the process may take beyond the run itself: to start, and to record what came of it.
MARGIN_SECONDS = 60.0
# Its exit status when the work failed for good.
FAILED_STATUS = 10
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class End(Enum):
    """How the process of a row ended."""

    ENDED = "it has ended its row"
    FAILED = "it has ended its row, which failed for good"
    STOPPED = "it was told to stop, and the row is still claimed"
    DIED = "it died, and the row is still claimed"


class Isolation:
    """Starts `python -m {module} …` for a claimed row; that process ends the row itself.

    It stops by itself when this process dies: its standard input ends then.
    """

    def __init__(self, module: str, *, worker_id: UUID) -> None:
        self._module = module
        self._worker_id = worker_id

    async def run(self, kind: str, work: Claimed, *, seconds: float) -> End:
        """Run the row, which may take `seconds`, to its end; a process that hangs is killed."""
        log.info("running alone after crashes", kind=kind, id=str(work.id), crashes=work.crashes)
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", self._module, *arguments(kind, work, self._worker_id),
            stdin=asyncio.subprocess.PIPE,
            start_new_session=True,  # Ctrl-C is for this process, which then stops the other
        )  # fmt: skip
        try:
            async with asyncio.timeout(seconds + MARGIN_SECONDS):
                return _end(await process.wait())
        except TimeoutError:
            return End.DIED
        finally:
            await _stop(process)


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


def end_with_parent() -> None:
    """End this process when the one that started it is gone, however busy the event loop is."""

    def watch() -> None:
        while os.read(sys.stdin.fileno(), 1024):
            pass
        os._exit(1)

    threading.Thread(target=watch, name="parent", daemon=True).start()


def _end(status: int) -> End:
    if -status in STOP_SIGNALS:
        return End.STOPPED
    return {0: End.ENDED, FAILED_STATUS: End.FAILED}.get(status, End.DIED)


async def _stop(process: asyncio.subprocess.Process) -> None:
    if process.returncode is not None:
        return
    with suppress(ProcessLookupError):
        process.terminate()
    try:
        async with asyncio.timeout(STOP_SECONDS):
            await process.wait()
    except TimeoutError:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()
