"""`python -m worker.isolated …`: runs one claimed row alone. Started by the kernel only."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Sequence

from worker.ability import Capabilities
from worker.app import compose
from worker.logging import configure
from worker.product import product
from worker.queue.isolation import FAILED_STATUS, end_with_parent, parse
from worker.settings import load_settings


def main(arguments: Sequence[str] | None = None, *, capabilities: Capabilities = product) -> None:
    """Run the row that the arguments name, end it, and exit with 0, or 10 if it failed for good."""
    end_with_parent()
    configure()
    given = sys.argv[1:] if arguments is None else arguments
    failed = asyncio.run(_run(given, capabilities))
    sys.stderr.flush()
    os._exit(
        FAILED_STATUS if failed else 0
    )  # a thread that waits for the network must not delay it


async def _run(arguments: Sequence[str], capabilities: Capabilities) -> int:
    kind, worker_id, work = parse(arguments)
    app = compose(
        load_settings(), capabilities=capabilities, worker_id=worker_id, isolated_module=None
    )
    await app.kernel.execute(app.kernel.kinds[kind], [work])
    await app.database.close()
    return app.kernel.tally.failed


if __name__ == "__main__":
    main()
