"""docker-compose.yml, by the rules that a Docker engine would only find broken when it starts."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from worker.settings import Settings

ROOT = Path(__file__).parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
PORT = re.compile(r"127\.0\.0\.1:\d+:\d+")
PINNED = re.compile(r"[\w./-]+:\d+(\.\d+)+[\w.-]*(@sha256:[0-9a-f]{64})?")

GRACE = Settings.model_fields["shutdown_grace"].default

every_service = pytest.mark.parametrize("name", SERVICES)


@every_service
def test_image_is_pinned(name: str) -> None:
    assert PINNED.fullmatch(SERVICES[name]["image"])


def test_base_images_are_pinned() -> None:
    bases = re.findall(r"^FROM (\S+)", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    assert bases
    assert all(PINNED.fullmatch(base) for base in bases)


@every_service
def test_ports_are_bound_to_loopback(name: str) -> None:
    assert all(PORT.fullmatch(port) for port in SERVICES[name].get("ports", []))


@every_service
def test_volumes_are_declared(name: str) -> None:
    mounted = {volume.split(":")[0] for volume in SERVICES[name].get("volumes", [])}
    assert mounted <= COMPOSE["volumes"].keys()


@every_service
def test_waits_only_for_what_can_be_waited_for(name: str) -> None:
    for target, how in SERVICES[name].get("depends_on", {}).items():
        if how["condition"] == "service_healthy":
            assert SERVICES[target]["healthcheck"]["test"][0] == "CMD"
        else:
            assert how["condition"] == "service_completed_successfully"
            assert SERVICES[target].get("restart", "no") == "no"


def test_worker_starts_on_a_migrated_database() -> None:
    assert SERVICES["migrate"]["command"] == ["migrate"]
    assert SERVICES["migrate"]["depends_on"]["database"]["condition"] == "service_healthy"
    condition = SERVICES["worker"]["depends_on"]["migrate"]["condition"]
    assert condition == "service_completed_successfully"


def test_stopping_worker_gets_more_time_than_its_own_grace() -> None:
    assert int(SERVICES["worker"]["stop_grace_period"].removesuffix("s")) > GRACE


def test_worker_has_the_credentials_of_the_other_services() -> None:
    environment = SERVICES["worker"]["environment"]
    database, storage = SERVICES["database"]["environment"], SERVICES["storage"]["environment"]
    login = f"{database['POSTGRES_USER']}:{database['POSTGRES_PASSWORD']}"
    assert environment["DATABASE_URL"] == (
        f"postgresql://{login}@database:5432/{database['POSTGRES_DB']}"
    )
    assert environment["STORAGE_ACCESS_KEY_ID"] == storage["AWS_ACCESS_KEY_ID"]
    assert environment["STORAGE_SECRET_ACCESS_KEY"] == storage["AWS_SECRET_ACCESS_KEY"]


def test_worker_is_given_settings_that_it_knows() -> None:
    for name in ("migrate", "worker"):
        given = {
            variable.lower(): value for variable, value in SERVICES[name]["environment"].items()
        }
        assert given.keys() <= Settings.model_fields.keys()
        assert Settings(**given).storage_endpoint == "http://storage:8333"


def test_storage_has_the_buckets_that_the_worker_uses() -> None:
    fields = Settings.model_fields
    wanted = {
        fields[f"storage_{kind}_bucket"].default for kind in ("audio", "cover", "video", "source")
    }
    wanted.add(SERVICES["worker"]["environment"]["R2_BUCKET_NAME"])
    assert set(SERVICES["storage"]["environment"]["S3_BUCKET"].split(",")) == wanted


def test_image_is_built_from_files_that_exist() -> None:
    sources = re.findall(r"^COPY (?!--)(.+) \S+$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    named = [source for line in sources for source in line.split()]
    assert named
    assert all((ROOT / source).exists() for source in named)
    allowed = (ROOT / ".dockerignore").read_text().splitlines()
    assert all(f"!{source.rstrip('/')}" in allowed for source in named)


def test_compose_accepts_the_file() -> None:
    docker = shutil.which("docker")
    if (
        docker is None
        or subprocess.run([docker, "compose", "version"], capture_output=True).returncode
    ):
        pytest.skip("needs docker with the compose plugin")
    done = subprocess.run(
        [docker, "compose", "config", "--quiet"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
