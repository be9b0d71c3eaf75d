"""A local Cloudinary, and the official SDK on it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.cloudinary_sdk import Sdk
from worker.demo.cloudinary import LocalCloudinary


@pytest.fixture
def local() -> Iterator[LocalCloudinary]:
    with LocalCloudinary() as local:
        yield local


@pytest.fixture
def sdk(local: LocalCloudinary) -> Sdk:
    return Sdk(local)
