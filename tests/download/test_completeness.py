"""A file proves its own completeness, and no part of it does."""

from __future__ import annotations

import random
import time

import pytest

from worker.download import Content, EndProof, Role, identify

from .helpers import SAMPLES

PROVABLE: list[tuple[str, Role]] = [
    ("tone.mp3", "audio"),
    ("tone.m4a", "audio"),
    ("tone.wav", "audio"),
    ("tone.ogg", "audio"),
    ("tone.opus", "audio"),
    ("tone.aiff", "audio"),
    ("tone.webm", "audio"),
    ("picture.jpg", "image"),
    ("picture.png", "image"),
    ("picture.webp", "image"),
    ("picture.gif", "image"),
    ("picture.avif", "image"),
    ("clip.mp4", "video"),
    ("fragmented.mp4", "video"),
    ("clip.mov", "video"),
    ("clip.webm", "video"),
    ("clip.mkv", "video"),
]
UNPROVABLE: list[tuple[str, Role]] = [
    ("bare.mp3", "audio"),
    ("tone.flac", "audio"),
    ("tone.aac", "audio"),
]
WAV = Content("audio", "audio/wav", "wav")
MP4 = Content("video", "video/mp4", "mp4")
MP3 = Content("audio", "audio/mpeg", "mp3")


def proven(data: bytes, content: Content, *, step: int = 1 << 18) -> bool:
    proof = EndProof(content)
    for at in range(0, len(data), step):
        proof.feed(memoryview(data)[at : at + step])
    return proof.complete()


def sample(name: str, role: Role) -> tuple[bytes, Content]:
    data = (SAMPLES / name).read_bytes()
    return data, identify(data, role=role)


@pytest.mark.parametrize(("name", "role"), PROVABLE)
@pytest.mark.parametrize("step", [1, 7, 100_000])
def test_whole_file_is_proven_in_blocks_of_any_size(name: str, role: Role, step: int) -> None:
    data, content = sample(name, role)
    assert proven(data, content, step=step)


@pytest.mark.parametrize(("name", "role"), PROVABLE)
def test_no_cut_file_is_proven(name: str, role: Role) -> None:
    data, content = sample(name, role)
    proof = EndProof(content)
    for at in range(len(data)):
        assert not proof.complete(), at
        proof.feed(data[at : at + 1])
    assert proof.complete()


@pytest.mark.parametrize(("name", "role"), UNPROVABLE)
def test_format_without_an_end_is_never_proven(name: str, role: Role) -> None:
    data, content = sample(name, role)
    assert not proven(data, content)


@pytest.mark.parametrize("name", ["tone.wav", "clip.mp4", "tone.ogg", "clip.webm", "tone.aiff"])
def test_more_than_the_whole_is_not_proven(name: str) -> None:
    data, content = sample(name, "video" if name.startswith("clip") else "audio")
    assert not proven(data + b"\0", content)


@pytest.mark.parametrize("name", ["picture.png", "picture.jpg", "picture.gif"])
def test_picture_is_complete_whatever_follows(name: str) -> None:
    data, content = sample(name, "image")
    assert proven(data + b"more", content)


def test_small_tags_may_follow_the_frames_of_an_mp3() -> None:
    data, content = sample("tone.mp3", "audio")
    assert proven(data + b"TAG".ljust(128), content)
    assert not proven(data + bytes(100_000), content)


@pytest.mark.parametrize("size", [0, 4, 0xFFFFFFFF])
def test_streamed_wav_is_not_proven(size: int) -> None:
    data = bytearray((SAMPLES / "tone.wav").read_bytes())
    data[4:8] = size.to_bytes(4, "little")
    assert not proven(bytes(data), WAV)


def test_wav_of_odd_size_may_have_its_padding_or_not() -> None:
    data = b"RIFF" + (7).to_bytes(4, "little") + b"WAVEabc"
    assert [proven(data + pad, WAV) for pad in (b"", b"\0", b"\0\0")] == [True, True, False]


def test_wav_beyond_four_gigabytes_says_its_size_in_a_chunk() -> None:
    sizes = b"ds64" + (28).to_bytes(4, "little") + (68).to_bytes(8, "little") + bytes(20)
    data = b"RF64\xff\xff\xff\xffWAVE" + sizes + bytes(76 - 12 - len(sizes))
    assert proven(data, WAV)
    assert not proven(data[:-1], WAV)


def test_mp4_with_a_last_box_of_unknown_size_is_not_proven() -> None:
    data = (SAMPLES / "clip.mp4").read_bytes()
    at = data.index(b"moov") - 4
    assert not proven(data[:at] + b"\0\0\0\0" + data[at + 4 :], MP4)


def test_mp4_with_large_sizes_is_walked() -> None:
    data = (SAMPLES / "clip.mp4").read_bytes()
    at = data.index(b"mdat") - 4
    size = int.from_bytes(data[at : at + 4], "big")
    large = b"\0\0\0\1mdat" + (size + 8).to_bytes(8, "big")
    assert proven(data[:at] + large + data[at + 8 :], MP4)


def test_fragments_without_their_index_are_not_proven() -> None:
    data = (SAMPLES / "fragmented.mp4").read_bytes()
    assert not proven(data[: data.index(b"mfra") - 4], MP4)


def test_mp3_whose_first_frame_tells_no_size_is_not_proven() -> None:
    data = bytearray((SAMPLES / "tone.mp3").read_bytes())
    at = data.index(b"Info") if b"Info" in data else data.index(b"Xing")
    data[at + 7] &= ~2 & 0xFF
    assert not proven(bytes(data), MP3)


def page(serial: int, *, last: bool = False) -> bytes:
    return b"OggS\0" + bytes([4 * last]) + bytes(8) + bytes([serial, 0, 0, 0]) + bytes(9)


def test_ogg_is_complete_when_all_its_streams_are() -> None:
    ogg = Content("audio", "audio/ogg", "ogg")
    pages = page(1) + page(2) + page(1, last=True)
    assert not proven(pages, ogg)
    assert proven(pages + page(2, last=True), ogg)


def test_streamed_webm_is_not_proven() -> None:
    data = (SAMPLES / "tone.webm").read_bytes()
    at = data.index(b"\x18\x53\x80\x67") + 4
    assert data[at] == 1
    streamed = data[:at] + b"\x01" + b"\xff" * 7 + data[at + 8 :]
    assert not proven(streamed, Content("audio", "audio/webm", "webm"))


def test_no_bytes_make_it_stumble() -> None:
    chance = random.Random(11)
    for name, role in PROVABLE:
        data, content = sample(name, role)
        for _ in range(40):
            broken = bytearray(data)
            for _ in range(chance.randrange(1, 6)):
                broken[chance.randrange(len(broken))] = chance.randrange(256)
            assert proven(bytes(broken), content, step=chance.randrange(1, 500)) in (True, False)


def test_pieces_without_end_are_given_up() -> None:
    proof = EndProof(MP4)
    begun = time.process_time()
    empty_boxes = b"\0\0\0\x08free" * 50_000
    for _ in range(100):
        proof.feed(empty_boxes)
    assert not proof.complete()
    assert time.process_time() - begun < 8
