"""What is shipped: the wheel, the lists of what it needs, and the pages that describe it."""

from __future__ import annotations

import configparser
import importlib
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from worker.settings import Settings

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
LOCKS = ("run", "embedded", "build", "dev")
PIN = re.compile(r"^([a-z0-9][a-z0-9.-]*)==(\S+)(?: ; (.+?))? \\$")
HASH = re.compile(r"^    --hash=sha256:[0-9a-f]{64}( \\)?$")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """The wheel as it is built here and now, without the network."""
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert built.returncode == 0, built.stderr
    return zipfile.ZipFile(next(folder.glob("media_worker-*.whl")))


def files(folder: str) -> set[str]:
    """The files below a folder of the project, relative to it."""
    found = (path for path in (ROOT / folder).rglob("*") if path.is_file())
    return {
        str(path.relative_to(ROOT / folder)) for path in found if "__pycache__" not in path.parts
    }


def shipped(wheel: zipfile.ZipFile, folder: str) -> set[str]:
    names = (name for name in wheel.namelist() if name.startswith(f"{folder}/"))
    return {name.removeprefix(f"{folder}/") for name in names}


def locked(name: str) -> dict[str, set[str]]:
    """The versions that a list pins, by package (more than one only with different markers)."""
    pins: dict[str, set[str]] = {}
    for line in (ROOT / "requirements" / f"{name}.txt").read_text().splitlines():
        if match := PIN.match(line):
            pins.setdefault(match[1], set()).add(match[2])
    return pins


def test_wheel_carries_all_of_the_sql(wheel: zipfile.ZipFile) -> None:
    assert files("sql")
    assert shipped(wheel, "worker/sql") == files("sql")


def test_wheel_carries_every_file_of_the_package(wheel: zipfile.ZipFile) -> None:
    assert {"ops/media-worker.service", "ops/media-worker@.service"} <= files("worker")
    assert any(name.startswith("demo/media/") for name in files("worker"))
    assert files("worker") <= shipped(wheel, "worker")


def test_wheel_carries_nothing_else(wheel: zipfile.ZipFile) -> None:
    version = PROJECT["project"]["version"]
    tops = {name.split("/")[0] for name in wheel.namelist()}
    assert tops == {"worker", f"media_worker-{version}.dist-info"}


def test_command_starts_what_the_wheel_says(wheel: zipfile.ZipFile) -> None:
    entries = configparser.ConfigParser()
    name = next(name for name in wheel.namelist() if name.endswith("/entry_points.txt"))
    entries.read_string(wheel.read(name).decode())
    module, function = entries["console_scripts"]["media-worker"].split(":")
    assert callable(getattr(importlib.import_module(module), function))


@pytest.mark.parametrize("name", LOCKS)
def test_every_requirement_is_pinned_with_hashes_and_no_line_says_more(name: str) -> None:
    lines = (ROOT / "requirements" / f"{name}.txt").read_text().splitlines()
    assert lines
    for line, following in zip(lines, [*lines[1:], ""], strict=True):
        assert PIN.match(line) or HASH.match(line), line
        assert bool(HASH.match(following)) == line.endswith("\\"), line


@pytest.mark.parametrize("name", ["run", "embedded", "build"])
def test_lists_agree_on_the_versions(name: str) -> None:
    everything = locked("dev")
    assert {package: everything.get(package) for package in locked(name)} == locked(name)


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("run", PROJECT["project"]["dependencies"]),
        ("embedded", PROJECT["project"]["dependencies"]),
        ("embedded", PROJECT["project"]["optional-dependencies"]["embedded"]),
        ("build", PROJECT["dependency-groups"]["build"]),
        ("build", PROJECT["build-system"]["requires"]),
        ("dev", [wish for wish in PROJECT["dependency-groups"]["dev"] if isinstance(wish, str)]),
    ],
)
def test_list_holds_what_the_project_asks_for(name: str, wanted: list[str]) -> None:
    pins = locked(name)
    for wish in map(Requirement, wanted):
        versions = pins[canonicalize_name(wish.name)]
        assert all(wish.specifier.contains(version) for version in versions), wish


def test_commands_of_readme_and_ci_are_in_the_makefile() -> None:
    pages = (ROOT / "README.md").read_text() + (ROOT / ".ci" / "run").read_text()
    named = set(re.findall(r"^ *`?make (\w+)|`make (\w+)", pages, re.MULTILINE))
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    wanted = {one or other for one, other in named}
    assert {"demo", "test", "lint"} <= wanted <= targets


def test_readme_names_only_settings_that_exist() -> None:
    table = re.findall(r"^\| (`[A-Z].*?) \|", (ROOT / "README.md").read_text(), re.MULTILINE)
    named = {name.lower() for row in table for name in re.findall(r"`([A-Z_]+)`", row)}
    assert "storage_endpoint" in named
    assert named <= Settings.model_fields.keys()


def test_example_settings_are_valid_and_show_the_defaults() -> None:
    text = (ROOT / ".env.example").read_text()
    set_here = dict(re.findall(r"^([A-Z_]+)=(.+)$", text, re.MULTILINE))
    defaults = dict(re.findall(r"^#([A-Z_]+)=(.+)$", text, re.MULTILINE))
    assert set_here
    assert defaults
    assert {name.lower() for name in (set_here | defaults)} <= Settings.model_fields.keys()
    example = Settings(**{name.lower(): value for name, value in set_here.items()})
    spelt_out = Settings(**{name.lower(): value for name, value in (set_here | defaults).items()})
    assert spelt_out == example
