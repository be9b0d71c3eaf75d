"""`python -m worker.isolated …`: runs one claimed row alone. Started by the kernel only."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Sequence

from worker.app import Capabilities, compose, product
from worker.logging import configure
from worker.queue.isolation import parent_died, parse
from worker.settings import load_settings


def main(arguments: Sequence[str] | None = None, *, capabilities: Capabilities = product) -> None:
    """Run the row that the arguments name, end it, and exit with 0."""
    configure()
    asyncio.run(_run(sys.argv[1:] if arguments is None else arguments, capabilities))
    sys.stderr.flush()
    os._exit(0)  # a thread that still waits for the network must not delay the end


async def _run(arguments: Sequence[str], capabilities: Capabilities) -> None:
    kind, worker_id, work = parse(arguments)
    app = compose(
        load_settings(), capabilities=capabilities, worker_id=worker_id, isolated_module=None
    )
    run = asyncio.create_task(app.kernel.execute(app.kernel.kinds[kind], [work]))
    watch = asyncio.create_task(parent_died())
    await asyncio.wait({run, watch}, return_when=asyncio.FIRST_COMPLETED)
    if not run.done():
        os._exit(1)
    await run
    await app.database.close()


if __name__ == "__main__":
    main()
