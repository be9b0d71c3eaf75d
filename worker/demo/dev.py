"""`media-worker dev`: a worker on embedded parts, to play with from psql."""

from __future__ import annotations

import os
import shutil
import threading
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import psycopg
from rich.console import Console
from rich.text import Text

from worker.demo.cloudinary import LocalCloudinary
from worker.demo.embedded import EmbeddedPostgres, EmbeddedS3, PartDidNotStart
from worker.demo.guide import guide
from worker.demo.home import emptied, home
from worker.demo.processes import WorkerProcess, migrate
from worker.demo.provider import Provider
from worker.demo.readable import readable
from worker.demo.screen import make_console
from worker.demo.signals import ending_on_signals, ignore_signals
from worker.demo.stage import (
    CREATE_LOGIN,
    cdn_settings,
    cloudinary_settings,
    open_buckets,
    storage_settings,
    worker_url,
)
from worker.demo.surroundings import (
    bare_environment,
    forget_the_cloud,
    outside_settings,
    tuning,
)
from worker.errors import Misconfigured
from worker.settings import Settings, load_settings

ASSETS = {"logo": ("brand",), "banner": ("brand", "web"), "draft": ()}
LOOPBACK = "127.0.0.0/8"
GRACE = {"SHUTDOWN_GRACE": "2"}  # unless something else is said

HAS_TRACKS = "select to_regclass('public.tracks') is not null"
TRACKS = "select exists (select from public.tracks)"


@dataclass(frozen=True)
class Ground:
    """What the worker runs on: its environment and directory, and how people get at it."""

    env: dict[str, str]
    cwd: Path
    grace: float
    psql: str
    s3: str | None
    remarks: tuple[str, ...]
    cloudinary: LocalCloudinary | None = None


def run_dev() -> None:
    """Run until Ctrl-C, SIGTERM or SIGHUP, and stop everything again.

    With `DATABASE_URL` it works on that database, with the storage of the settings if there is
    one. Otherwise database and storage are embedded, and new each time: what is in the storage
    would not outlive it, and a database that speaks of lost files is worse than an empty one.

    Raises `Misconfigured` where a part is not installed or the settings do not go together,
    `SystemExit` when a part does not start or the worker ends by itself.
    """
    console = make_console()
    with ending_on_signals():
        try:
            status = _run(console)
        except KeyboardInterrupt:
            status = 0
        except PartDidNotStart as error:
            _say(console, str(error), "red")
            status = 1
    if status:
        raise SystemExit(1)


def _run(console: Console) -> int:
    settings = load_settings()
    with ExitStack() as parts:
        provider = parts.enter_context(Provider())
        ground = _own(parts, settings) if settings.database_url else _embedded(parts, settings)
        worker = WorkerProcess(ground.env, cwd=ground.cwd, grace=ground.grace)
        parts.enter_context(worker)
        for remark in ground.remarks:
            _say(console, remark, "yellow")
        told = guide(
            ground.psql, provider=provider.url(""), s3=ground.s3, cloudinary=ground.cloudinary
        )
        _say(console, told)
        status = _follow(worker, console)
        ignore_signals()
        return status


def _follow(worker: WorkerProcess, console: Console) -> int:
    reader = threading.Thread(target=_show, args=(worker, console), daemon=True)
    reader.start()
    try:
        while reader.is_alive():
            reader.join(1.0)
    except KeyboardInterrupt:
        worker.stop()
        reader.join(5.0)
        _say(console, "Stopped.")
        return 0
    _say(console, f"The worker has ended with status {worker.stop()}.", "red")
    return 1


def _show(worker: WorkerProcess, console: Console) -> None:
    for line in worker.log:
        console.print(readable(line.decode(errors="replace").rstrip()), soft_wrap=True)


def _embedded(parts: ExitStack, settings: Settings) -> Ground:
    ignored = outside_settings()
    forget_the_cloud()
    directory = parts.enter_context(home())
    postgres = parts.enter_context(
        EmbeddedPostgres(emptied(directory / "postgres"), for_tests=True)
    )
    s3 = parts.enter_context(EmbeddedS3())
    open_buckets(s3)
    cloudinary = parts.enter_context(LocalCloudinary())
    for name, tags in ASSETS.items():
        cloudinary.account.add(name, tags=tags)
    migrate(bare_environment(DATABASE_URL=postgres.url), cwd=directory)
    with psycopg.connect(postgres.url, autocommit=True) as connection:
        connection.execute(CREATE_LOGIN)
    said = {**GRACE, **tuning(), "DOWNLOAD_ALLOW_NETWORKS": _networks(settings)}
    said |= {"DATABASE_URL": worker_url(postgres), **storage_settings(s3), **cdn_settings(s3)}
    said |= cloudinary_settings(cloudinary)
    remarks = [f"{', '.join(ignored)}: set, and not used with the embedded parts."] * bool(ignored)
    return Ground(
        env=bare_environment(**said),
        cwd=directory,
        grace=float(said["SHUTDOWN_GRACE"]) + 15,
        psql=_psql(postgres),
        s3=s3.endpoint,
        cloudinary=cloudinary,
        remarks=(
            *remarks,
            "Database, storage and Cloudinary are embedded, and new each time: what is in them "
            f"goes with the next start. The database is in {directory / 'postgres'}, the rest in "
            "memory.",
        ),
    )


def _own(parts: ExitStack, settings: Settings) -> Ground:
    env = {**os.environ, "DOWNLOAD_ALLOW_NETWORKS": _networks(settings)}
    remarks = ["DATABASE_URL is set: this works on that database, not on an embedded one."]
    endpoint = None
    if settings.archive_configured:
        remarks.append("Files go to the storage of STORAGE_ENDPOINT.")
    else:
        _refuse_to_lose_tracks(settings)
        forget_the_cloud()
        s3 = parts.enter_context(EmbeddedS3())
        open_buckets(s3)
        env |= storage_settings(s3)
        endpoint = s3.endpoint
        remarks.append("No STORAGE_ENDPOINT: files go to a storage in memory, until this ends.")
    migrate(env, cwd=Path.cwd())
    return Ground(
        env=env,
        cwd=Path.cwd(),
        grace=settings.shutdown_grace + 15,
        psql='psql "$DATABASE_URL"',
        s3=endpoint,
        remarks=tuple(remarks),
    )


def _refuse_to_lose_tracks(settings: Settings) -> None:
    """Real tracks are not to be called archived when they are in memory only."""
    assert settings.database_url is not None  # noqa: S101 - what brought us here
    url = settings.database_url.get_secret_value()
    with psycopg.connect(url, autocommit=True, connect_timeout=10) as connection:
        for question in (HAS_TRACKS, TRACKS):
            answer = connection.execute(question).fetchone()
            if answer is None or not answer[0]:
                return
    raise Misconfigured(
        "the database of DATABASE_URL holds tracks, and without STORAGE_ENDPOINT their files "
        "would go to a storage that ends with this command: set the STORAGE_ variables, or leave "
        "DATABASE_URL unset for an embedded database"
    )


def _networks(settings: Settings) -> str:
    return ",".join([*map(str, settings.download_allow_networks), LOOPBACK])


def _psql(postgres: EmbeddedPostgres) -> str:
    return f"psql '{postgres.url}'" if shutil.which("psql") else postgres.psql_command


def _say(console: Console, text: str, style: str = "") -> None:
    console.print(Text(text, style=style), soft_wrap=True)
