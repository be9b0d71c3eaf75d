"""The two ways that `bench.transfer` compares, each run in a process of its own.

Run as `python -m bench._clients '{"way": "ours", …}'`; prints its figures as JSON.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from io import RawIOBase
from ipaddress import ip_network
from typing import Any

Move = Callable[[str], None]

USAGE = resource.RUSAGE_SELF


def main() -> None:
    settings: dict[str, Any] = json.loads(sys.argv[1])
    make = {"ours": ours, "without_md5": without_md5, "peer": peer}[settings["way"]]
    move = make(settings["provider"], settings["sink"], settings["size"])
    with ThreadPoolExecutor(settings["at_once"]) as threads:
        warm_up = [f"warm/{number}" for number in range(2)]
        list(threads.map(move, warm_up if settings["files"] > 100 else []))
        keys = [f"file/{number}.mp3" for number in range(settings["files"])]
        processor, start = time.process_time(), time.perf_counter()
        list(threads.map(move, keys))
        seconds, processor = time.perf_counter() - start, time.process_time() - processor
    total = settings["files"] * settings["size"]
    memory = resource.getrusage(USAGE).ru_maxrss * 1024 / 1e6
    figures = {"speed": total / 1e6 / seconds, "processor": processor / (total / 1e9)}
    print(json.dumps(figures | {"memory": memory}))


def without_md5(provider: int, sink: int, size: int) -> Move:
    return ours(provider, sink, size, compare_md5=False)


def ours(provider: int, sink: int, size: int, *, compare_md5: bool = True) -> Move:
    from worker.download import Downloader, DownloadPolicy
    from worker.storage import ObjectStore, StorageTarget, Transfer

    policy = DownloadPolicy(allow_networks=(ip_network("127.0.0.0/8"),))
    downloader, transfer = Downloader(policy), Transfer(compare_md5=compare_md5)
    target = StorageTarget("storage", f"http://127.0.0.1:{sink}", "auto", "key", "secret", "bucket")
    store = ObjectStore(target)

    def move(key: str) -> None:
        with downloader.open(f"http://127.0.0.1:{provider}/{size}") as source:
            transfer.send(
                source,
                store,
                key,
                content_type="audio/mpeg",
                cache_control="public, max-age=31536000",
                may_finish=lambda: None,
                expires_in=3600,
            )

    return move


def peer(provider: int, sink: int, size: int) -> Move:
    import boto3
    import httpx
    from botocore.config import Config

    config = Config(
        signature_version="s3v4",
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        max_pool_connections=64,
    )
    s3 = boto3.client(
        "s3",
        endpoint_url=f"http://127.0.0.1:{sink}",
        region_name="auto",
        aws_access_key_id="key",
        aws_secret_access_key="secret",
        config=config,
    )
    http = httpx.Client(limits=httpx.Limits(max_connections=64), trust_env=False)

    def move(key: str) -> None:
        with http.stream("GET", f"http://127.0.0.1:{provider}/{size}") as response:
            response.raise_for_status()
            body = Stream(response.iter_bytes())
            s3.upload_fileobj(body, "bucket", key, ExtraArgs={"ContentType": "audio/mpeg"})

    return move


class Stream(RawIOBase):
    """The file object around httpx's iterator that upload_fileobj needs."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._left = b""

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        parts, wanted = [self._left], size if size >= 0 else sys.maxsize
        count = len(self._left)
        while count < wanted and (chunk := next(self._chunks, b"")):
            parts.append(chunk)
            count += len(chunk)
        data = b"".join(parts)
        self._left = data[wanted:]
        return data[:wanted]


if __name__ == "__main__":
    main()
