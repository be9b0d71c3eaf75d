"""`python -m tests.faults.stuck`: a worker whose event loop stands still after SIGUSR1."""

from __future__ import annotations

import asyncio
import signal
import time

from worker import daemon, logging
from worker.app import Application, compose
from worker.settings import load_settings


def main() -> None:
    logging.configure()
    daemon.leave(daemon.run(_compose))


def _compose() -> Application:
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, _stand_still)
    return compose(load_settings(), proven=daemon.feed_watchdog)


def _stand_still() -> None:
    print("stuck", flush=True)
    time.sleep(3600)


if __name__ == "__main__":
    main()
