"""The systemd units: what they promise, and how well they shut the worker in."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections import defaultdict
from pathlib import Path

import pytest

from worker.settings import Settings

OPS = Path(__file__).parents[2] / "worker" / "ops"
UNITS = ("media-worker.service", "media-worker@.service")

systemd = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="needs systemd-analyze"
)


def directives(unit: str) -> dict[str, list[str]]:
    """Every directive of a unit with its values in order."""
    found: dict[str, list[str]] = defaultdict(list)
    for line in (OPS / unit).read_text().splitlines():
        if line and line[0] not in "#[":
            name, value = line.split("=", 1)
            found[name].append(value)
    return found


def analyze(*arguments: str) -> str:
    done = subprocess.run(
        ["systemd-analyze", "--no-pager", *arguments], capture_output=True, text=True, timeout=30
    )
    return done.stdout + done.stderr


@systemd
@pytest.mark.parametrize("unit", UNITS)
def test_exposure_is_two_at_most(unit: str) -> None:
    report = analyze("security", "--offline=true", str(OPS / unit))
    score = re.search(r"exposure level for \S+: (\d+\.\d+)", report)
    assert score, report
    assert float(score[1]) <= 2.0


@systemd
@pytest.mark.parametrize("unit", UNITS)
def test_systemd_finds_nothing_to_complain_about(unit: str, tmp_path: Path) -> None:
    text = (OPS / unit).read_text().replace("/opt/media-worker/bin/media-worker", "/bin/true")
    (tmp_path / unit).write_text(text)
    complaints = [
        line for line in analyze("verify", str(tmp_path / unit)).splitlines() if unit[:12] in line
    ]
    assert complaints == []


@pytest.mark.parametrize("unit", UNITS)
def test_supervises_a_worker_that_reports_its_progress(unit: str) -> None:
    found = directives(unit)
    assert found["Type"] == ["notify"]
    assert found["NotifyAccess"] == ["main"]
    assert found["WatchdogSec"] == ["60"]
    assert found["Restart"] == ["always"]
    assert found["StartLimitIntervalSec"] == ["0"]


@pytest.mark.parametrize("unit", UNITS)
def test_gives_a_stopping_worker_more_time_than_its_own_grace(unit: str) -> None:
    assert (
        int(directives(unit)["TimeoutStopSec"][0]) > Settings.model_fields["shutdown_grace"].default
    )


@pytest.mark.parametrize("unit", UNITS)
def test_leaves_the_network_and_the_name_service_reachable(unit: str) -> None:
    found = directives(unit)
    assert set(found["RestrictAddressFamilies"][0].split()) == {"AF_UNIX", "AF_INET", "AF_INET6"}
    assert not {"PrivateNetwork", "IPAddressDeny", "SocketBindDeny"} & found.keys()


@pytest.mark.parametrize("unit", UNITS)
def test_holds_no_secret_itself(unit: str) -> None:
    found = directives(unit)
    assert "Environment" not in found
    secrets = [value.split(":", 1) for value in found["LoadCredential"]]
    assert all(path == f"/etc/media-worker/credentials/{name}" for name, path in secrets)
    assert {name.lower() for name, _ in secrets} <= Settings.model_fields.keys()


def test_the_template_differs_in_its_instance_only() -> None:
    one, many = directives(UNITS[0]), directives(UNITS[1])
    assert many.pop("Description") == ["Media Worker (%i)"]
    assert many.pop("EnvironmentFile")[-1] == "-/etc/media-worker/%i.env"
    assert many.pop("ExecStart") == [f"{one['ExecStart'][0]} $RUN_OPTIONS"]
    assert many == {name: one[name] for name in many}
