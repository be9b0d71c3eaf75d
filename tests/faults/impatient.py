"""`python -m tests.faults.impatient`: a worker that waits a second for a provider's answer."""

from __future__ import annotations

from functools import partial

from worker import app, daemon, logging
from worker.download import DownloadPolicy
from worker.settings import load_settings


def main() -> None:
    logging.configure()
    app.DownloadPolicy = partial(DownloadPolicy, read_timeout=1.0)  # type: ignore[misc,assignment]
    settings = load_settings()
    daemon.leave(daemon.run(lambda: app.compose(settings)))


if __name__ == "__main__":
    main()
