"""`python -m tests.queue.process …`: a real worker process with the tests' capability."""

from __future__ import annotations

import argparse

from tests.queue import capability
from tests.queue.composition import ISOLATED, compose_for_tests
from worker import daemon, logging
from worker.queue import lease, wakeups
from worker.settings import load_settings


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--once", action="store_true")
    parser.add_argument("--sets", action="store_true")
    parser.add_argument("--without", nargs="*", default=[])
    parser.add_argument("--every", type=float, default=0.2)
    parser.add_argument("--concurrency", type=int, default=4)
    given = parser.parse_args()
    lease.BEAT_SECONDS = wakeups.POLLING_SECONDS = given.every
    wakeups.STALLED_SECONDS = 10 * given.every
    logging.configure()
    code = daemon.run(
        lambda: compose_for_tests(
            load_settings(),
            capabilities=capability.sets if given.sets else capability.capability,
            every=given.every,
            without=given.without,
            concurrency=given.concurrency,
            isolated_module=ISOLATED,
        ),
        once=given.once,
    )
    daemon.leave(code)


if __name__ == "__main__":
    main()
