"""`python -m tests.queue.isolated …`: what the kernel runs a row alone by."""

from __future__ import annotations

from tests.queue.capability import capability
from worker.isolated import main

if __name__ == "__main__":
    main(capabilities=capability)
