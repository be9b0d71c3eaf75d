"""What counts as JSON."""

from __future__ import annotations

import hashlib

import pytest

from worker.cdn.sidecar import Sidecar, checked_json
from worker.errors import Permanent


@pytest.mark.parametrize(
    "data", [b"{}", b'{"a": [1, 2.5e400, null]}', b" [] ", '"ü"'.encode(), b"1"]
)
def test_json_is_taken_as_it_is(data: bytes) -> None:
    assert checked_json(data) == data


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"{} {}",
        b"{'a': 1}",
        b"<html></html>",
        b"[NaN]",
        b"[-Infinity]",
        b'"\xff"',
        '{"a": 1}'.encode("utf-16"),
        b"\xef\xbb\xbf{}",
        b"[" * 100_000,
    ],
    ids=lambda data: repr(data[:12]),
)
def test_what_is_no_json_by_the_letter_is_refused(data: bytes) -> None:
    with pytest.raises(Permanent, match="JSON"):
        checked_json(data)


async def test_sidecar_is_read_again_from_its_beginning() -> None:
    sidecar = Sidecar(b'{"a": 1}')
    for _ in range(2):
        source, buffer = sidecar.open(), memoryview(bytearray(5))
        assert [bytes(buffer[: source.readinto(buffer)]) for _ in range(3)] == [
            b'{"a":',
            b" 1}",
            b"",
        ]
    assert sidecar.length == 8 and sidecar.content_type == "application/json"
    assert sidecar.md5 == hashlib.md5(sidecar.data).hexdigest()
    assert await sidecar.is_still(sidecar.sha256) and not await sidecar.is_still("other")
