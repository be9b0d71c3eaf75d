"""`python -m tests.faults.unreconciled`: a worker without the duties that find what was missed."""

from __future__ import annotations

from dataclasses import replace

from worker import daemon, logging
from worker.app import Application, compose
from worker.settings import load_settings

# What is tried again comes back through the first, what triggers gave way for through the others.
KEPT = {"promote", "overlooked tracks", "ask for copies"}


def main() -> None:
    logging.configure()
    settings = load_settings()
    daemon.leave(daemon.run(lambda: _without_nets(compose(settings))))


def _without_nets(app: Application) -> Application:
    duties = tuple(duty for duty in app.duties if duty.name in KEPT)
    assert len(duties) >= 2
    return replace(app, duties=duties)


if __name__ == "__main__":
    main()
