"""A file that is read once, onto the disk, and what is known of it then."""

from __future__ import annotations

import gc
import hashlib
import io
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from worker.cdn import spool
from worker.cdn.spool import Spooled, Spooling
from worker.demo.bodies import GeneratedMp3, media
from worker.errors import Busy, ClaimLost, Permanent, Temporary
from worker.storage import Source

MELODY = media("melody.mp3").content


class Bytes:
    """A source that gives a few bytes at a time."""

    def __init__(self, data: bytes, *, length: int | None = None, at_once: int = 10_000) -> None:
        self.length = length
        self._stream = io.BytesIO(data)
        self._at_once = at_once

    def readinto(self, buffer: memoryview, /) -> int:
        return self._stream.readinto(buffer[: self._at_once])


def spooled(source: Source, *, most: int = 10**9, sure_end: bool = True) -> Spooled:
    return Spooling(source, host="example.com", most=most, sure_end=sure_end).run(lambda s: s)


def whole(source: Source, size: int = 1000) -> bytes:
    found, buffer = b"", memoryview(bytearray(size))
    while count := source.readinto(buffer):
        found += bytes(buffer[:count])
    return found


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    yield tmp_path


def test_it_knows_all_about_the_bytes() -> None:
    found = spooled(Bytes(MELODY, length=len(MELODY)))
    assert found.length == len(MELODY)
    assert found.sha256 == found.source_hash == hashlib.sha256(MELODY).hexdigest()
    assert found.md5 == hashlib.md5(MELODY).hexdigest()
    assert found.content_type == "audio/mpeg"


def test_it_is_read_by_several_at_once_and_from_the_beginning() -> None:
    found = spooled(Bytes(MELODY))
    first, second = found.open(), found.open()
    buffer = memoryview(bytearray(700))
    first.readinto(buffer)
    assert whole(second) == MELODY
    assert bytes(buffer) + whole(first) == MELODY
    assert first.length == len(MELODY)


def test_file_has_no_name_and_is_gone_with_its_last_reader(directory: Path) -> None:
    before = descriptors()
    found = spooled(Bytes(MELODY))
    assert list(directory.iterdir()) == []
    reader = found.open()
    del found
    gc.collect()
    assert whole(reader) == MELODY
    del reader
    gc.collect()
    assert descriptors() == before


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (b"PK\x03\x04" + bytes(100), "ZIP"),
        (b"<!doctype html><html></html>", "HTML"),
        (b"", "empty"),
        (media("cover.jpg").content, "JPEG"),
    ],
)
def test_what_is_no_audio_is_refused_by_name(data: bytes, found: str) -> None:
    with pytest.raises(Permanent, match=found):
        spooled(Bytes(data))


def test_what_is_no_audio_is_not_read_to_its_end() -> None:
    source = Bytes(b"PK\x03\x04" + bytes(5_000_000))
    with pytest.raises(Permanent):
        spooled(source)
    assert source._stream.tell() < 100_000


def test_too_long_a_file_is_refused_with_the_setting_to_raise() -> None:
    with pytest.raises(Permanent, match="CDN_MAX_BYTES"):
        spooled(Bytes(MELODY), most=len(MELODY) - 1)
    assert spooled(Bytes(MELODY), most=len(MELODY)).length == len(MELODY)


def test_fewer_bytes_than_promised_are_tried_again() -> None:
    with pytest.raises(Temporary, match="example"):
        spooled(Bytes(MELODY[:-1], length=len(MELODY)))


def test_end_that_proves_nothing_is_proven_by_the_content() -> None:
    wav = media("chime.wav").content
    assert spooled(Bytes(wav), sure_end=False).content_type == "audio/wav"
    with pytest.raises(Temporary, match="complete"):
        spooled(Bytes(wav[:-100]), sure_end=False)


def test_it_stops_when_told() -> None:
    endless = GeneratedMp3(1, None)
    spooling: Spooling

    class Endless:
        length = None

        def __init__(self) -> None:
            self._blocks = endless.blocks()
            self.blocks = 0

        def readinto(self, buffer: memoryview, /) -> int:
            block = next(self._blocks)
            buffer[: len(block)] = block
            self.blocks += 1
            if self.blocks == 20:
                spooling.stop()
            return len(block)

    source = Endless()
    spooling = Spooling(source, host="example.com", most=10**9)
    with pytest.raises(ClaimLost):
        spooling.run(lambda s: s)
    assert source.blocks == 20


def test_full_disk_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(spool.os, "write", full)
    with pytest.raises(Busy, match="TMPDIR") as busy:
        spooled(Bytes(MELODY))
    assert busy.value.retry_after > 5


def test_machine_without_a_usable_directory_passes(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none_usable() -> str:
        raise FileNotFoundError(2, "No usable temporary directory found in ['/tmp']")

    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setattr(tempfile, "_get_default_tempdir", none_usable)
    with pytest.raises(Busy, match="TMPDIR"):
        spooled(Bytes(MELODY))


def test_directory_that_is_gone_passes(directory: Path) -> None:
    directory.rmdir()
    with pytest.raises(Busy, match="TMPDIR"):
        spooled(Bytes(MELODY))
    directory.mkdir()
