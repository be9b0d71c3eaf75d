from __future__ import annotations

import shutil
import struct
import subprocess
from pathlib import Path

import pytest

from worker.demo.bodies import FRAME_BYTES, Bytes, GeneratedMp3, media, media_names

SIGNATURES = {
    "mp3": (0, b"ID3"),
    "m4a": (4, b"ftypM4A "),
    "mp4": (4, b"ftypisom"),
    "wav": (8, b"WAVEfmt "),
    "jpg": (0, b"\xff\xd8\xff"),
    "png": (0, b"\x89PNG\r\n\x1a\n"),
}


@pytest.mark.parametrize("name", media_names())
def test_media_files_are_what_their_names_say(name: str) -> None:
    offset, signature = SIGNATURES[name.rpartition(".")[2]]
    assert media(name).content[offset:].startswith(signature)


def test_there_is_a_file_of_every_kind_and_all_are_small() -> None:
    assert {name.rpartition(".")[2] for name in media_names()} == set(SIGNATURES)
    assert sum(media(name).size for name in media_names()) < 250_000


@pytest.mark.skipif(not shutil.which("ffmpeg"), reason="needs ffmpeg")
@pytest.mark.parametrize("name", [*media_names(), "generated.mp3"])
def test_media_files_can_be_played(name: str, tmp_path: Path) -> None:
    body = GeneratedMp3(5, FRAME_BYTES * 200) if name == "generated.mp3" else media(name)
    path = tmp_path / name
    path.write_bytes(b"".join(body.blocks()))
    command = ["ffmpeg", "-v", "error", "-xerror", "-i", str(path), "-f", "null", "-"]
    played = subprocess.run(command, capture_output=True, text=True)
    assert (played.returncode, played.stderr) == (0, "")


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(FileNotFoundError, match=r"melody\.mp3"):
        media("../bodies.py")


def test_generated_audio_is_a_row_of_frames() -> None:
    content = b"".join(GeneratedMp3(1, FRAME_BYTES * 1500).blocks())
    headers = {struct.unpack_from(">I", content, n * FRAME_BYTES)[0] for n in range(1500)}
    assert headers == {0xFFFB9000}


@pytest.mark.parametrize("body", [GeneratedMp3(1, 700_001), Bytes(bytes(range(250)) * 1000)])
@pytest.mark.parametrize(("start", "stop"), [(0, 1), (65_535, 200_000), (213_503, 213_505)])
def test_any_part_is_the_same_as_in_the_whole(
    body: GeneratedMp3 | Bytes, start: int, stop: int
) -> None:
    whole = b"".join(body.blocks())
    assert len(whole) == body.size
    assert b"".join(body.blocks(start, stop)) == whole[start:stop]
    assert b"".join(body.blocks(start)) == whole[start:]


def test_an_empty_body_is_empty() -> None:
    assert list(GeneratedMp3(1, 0).blocks()) == list(Bytes(b"").blocks()) == []
