"""The ways that `bench.cdn_bytes` compares, each run in a process of its own.

Run as `python -m bench._cdn_clients '{"way": "ours", …}'`; prints the seconds that it took.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

AT_ONCE = 16
Store = Callable[[int, Path, str], None]


def main() -> None:
    settings: dict[str, Any] = json.loads(sys.argv[1])
    store = {"ours": ours, "hashed": hashed, "peer": peer}[settings["way"]](settings["sinks"])
    with TemporaryDirectory() as folder, ThreadPoolExecutor(AT_ONCE) as threads:
        files = [file_of_zeros(Path(folder), size) for size in settings["sizes"]]
        run(threads, store, files, range(-AT_ONCE, 0))
        started = time.perf_counter()
        run(threads, store, files, range(settings["tracks"]))
        print(time.perf_counter() - started)


def run(
    threads: ThreadPoolExecutor, store: Store, files: list[Path], tracks: Iterable[int]
) -> None:
    """Every file of every track to both targets."""

    def track(number: int) -> None:
        for file in files:
            for target in range(2):
                store(target, file, f"{file.name}/{number}")

    list(threads.map(track, tracks))


def file_of_zeros(folder: Path, size: int) -> Path:
    path = folder / f"{size}"
    path.write_bytes(bytes(size))
    return path


def ours(sinks: list[int]) -> Store:
    from worker.storage import ObjectStore, SpooledFile, StorageTarget, Transfer

    transfer = Transfer()
    stores = [
        ObjectStore(
            StorageTarget(f"cdn:{port}", f"http://127.0.0.1:{port}", "auto", "id", "secret", "cdn")
        )
        for port in sinks
    ]
    known: dict[Path, tuple[int, int, str, str]] = {}

    def store(target: int, path: Path, key: str) -> None:
        if path not in known:
            known[path] = (os.open(path, os.O_RDONLY), path.stat().st_size, *digests(path))
        transfer.send(
            SpooledFile(*known[path]),
            stores[target],
            key,
            content_type="audio/mpeg",
            cache_control="public, max-age=3600",
            may_finish=lambda: None,
            expires_in=3600,
        )

    return store


def hashed(sinks: list[int]) -> Store:
    plain = ours(sinks)

    def store(target: int, path: Path, key: str) -> None:
        if target == 0:  # once for both
            digests(path)
        plain(target, path, key)

    return store


def digests(path: Path) -> tuple[str, str]:
    sha256, md5 = hashlib.sha256(), hashlib.md5(usedforsecurity=False)
    with path.open("rb", buffering=0) as file:
        while block := file.read(256 * 1024):
            sha256.update(block)
            md5.update(block)
    return sha256.hexdigest(), md5.hexdigest()


def peer(sinks: list[int]) -> Store:
    import boto3
    from botocore.config import Config

    config = Config(
        signature_version="s3v4",
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        max_pool_connections=64,
    )
    clients = [
        boto3.client(
            "s3",
            endpoint_url=f"http://127.0.0.1:{port}",
            region_name="auto",
            aws_access_key_id="id",
            aws_secret_access_key="secret",
            config=config,
        )
        for port in sinks
    ]
    extra = {"ContentType": "audio/mpeg", "CacheControl": "public, max-age=3600"}

    def store(target: int, path: Path, key: str) -> None:
        with path.open("rb") as file:
            clients[target].upload_fileobj(file, "cdn", key, ExtraArgs=extra)

    return store


if __name__ == "__main__":
    main()
