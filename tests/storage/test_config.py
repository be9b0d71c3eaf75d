from __future__ import annotations

import pytest

from worker.storage import StorageTarget


def target(service: str = "storage", endpoint: str = "https://s3.example.com") -> StorageTarget:
    return StorageTarget(service, endpoint, "auto", "id", "secret-value", "bucket")


def test_secret_is_not_in_the_representation() -> None:
    assert "secret-value" not in repr(target())


@pytest.mark.parametrize(
    ("service", "variable"),
    [
        ("storage", "STORAGE_ENDPOINT"),
        ("cdn:r2_cdn", "R2_ENDPOINT"),
        ("cdn:backup", "CDN_BACKUP_ENDPOINT"),
    ],
)
def test_setting_names_the_variable_of_the_service(service: str, variable: str) -> None:
    assert target(service).setting("ENDPOINT") == variable


@pytest.mark.parametrize("host", ["pub-1.r2.dev", "pub-1.r2.dev:443"])
def test_r2_dev_is_a_public_url(host: str) -> None:
    assert target(endpoint=f"https://{host}").is_public_url


@pytest.mark.parametrize("host", ["abc.r2.cloudflarestorage.com", "pub-r2.dev.example.com"])
def test_other_hosts_are_api_endpoints(host: str) -> None:
    assert not target(endpoint=f"https://{host}").is_public_url
