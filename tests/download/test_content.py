"""Files are told apart by their content, whatever they are called."""

from __future__ import annotations

import random

import pytest

from worker.download import Content, Role, identify, needed_prefix, recognise
from worker.errors import Permanent

from .helpers import SAMPLES, downloader
from .origin import Origin, reply

TYPES: list[tuple[str, Content]] = [
    ("tone.mp3", Content("audio", "audio/mpeg", "mp3")),
    ("bare.mp3", Content("audio", "audio/mpeg", "mp3")),
    ("tone.m4a", Content("audio", "audio/mp4", "m4a")),
    ("audio-only.mp4", Content("audio", "audio/mp4", "m4a")),
    ("tone.wav", Content("audio", "audio/wav", "wav")),
    ("tone.flac", Content("audio", "audio/flac", "flac")),
    ("tone.ogg", Content("audio", "audio/ogg", "ogg")),
    ("tone.opus", Content("audio", "audio/ogg", "opus")),
    ("tone.aac", Content("audio", "audio/aac", "aac")),
    ("tone.aiff", Content("audio", "audio/aiff", "aiff")),
    ("tone.webm", Content("audio", "audio/webm", "webm")),
    ("picture.jpg", Content("image", "image/jpeg", "jpg")),
    ("picture.png", Content("image", "image/png", "png")),
    ("picture.webp", Content("image", "image/webp", "webp")),
    ("picture.gif", Content("image", "image/gif", "gif")),
    ("picture.avif", Content("image", "image/avif", "avif")),
    ("clip.mp4", Content("video", "video/mp4", "mp4")),
    ("fragmented.mp4", Content("video", "video/mp4", "mp4")),
    ("clip.mov", Content("video", "video/quicktime", "mov")),
    ("clip.webm", Content("video", "video/webm", "webm")),
    ("clip.mkv", Content("video", "video/x-matroska", "mkv")),
]
ROLES: tuple[Role, ...] = ("audio", "image", "video")
BARE = (SAMPLES / "bare.mp3").read_bytes()
FLAC = (SAMPLES / "tone.flac").read_bytes()
AAC = (SAMPLES / "tone.aac").read_bytes()


def id3(size: int, *, fill: bytes = b"\0", flags: int = 0) -> bytes:
    coded = bytes(size >> shift & 0x7F for shift in (21, 14, 7, 0))
    footer = b"3DI" + bytes([4, 0, flags]) + coded if flags & 0x10 else b""
    return b"ID3\x04\x00" + bytes([flags]) + coded + b"TIT2".ljust(size, fill)[:size] + footer


def box(kind: bytes, data: bytes) -> bytes:
    return (8 + len(data)).to_bytes(4, "big") + kind + data


@pytest.mark.parametrize(("name", "content"), TYPES, ids=[name for name, _ in TYPES])
def test_real_file_is_what_it_is_and_nothing_else(name: str, content: Content) -> None:
    data = (SAMPLES / name).read_bytes()
    assert identify(data, role=content.kind) == content
    for role in ROLES:
        if role != content.kind:
            with pytest.raises(Permanent, match="found"):
                identify(data, role=role)


@pytest.mark.parametrize(
    ("brands", "content"),
    [
        (b"heic\0\0\0\0mif1heic", Content("image", "image/heic", "heic")),
        (b"mif1\0\0\0\0mif1avif", Content("image", "image/avif", "avif")),
        (b"M4B \0\0\0\0isom", Content("audio", "audio/mp4", "m4a")),
        (b"M4V \0\0\0\0M4V mp42", Content("video", "video/mp4", "mp4")),
        (b"abcd\0\0\0\0isomdash", Content("video", "video/mp4", "mp4")),
    ],
)
def test_brands_tell_the_mp4_family_apart(brands: bytes, content: Content) -> None:
    assert identify(box(b"ftyp", brands) + bytes(100), role=content.kind) == content


def test_mp4_whose_tracks_are_out_of_sight_may_be_either() -> None:
    data = box(b"ftyp", b"isom\0\0\0\0mp42") + box(b"mdat", bytes(100))
    assert identify(data, role="audio").extension == "m4a"
    assert identify(data, role="video").extension == "mp4"


@pytest.mark.parametrize(
    ("data", "named"),
    [
        (b"", "an empty file"),
        (b"<!DOCTYPE html><html>", "an HTML page"),
        (b"\xef\xbb\xbf \r\n<HTML lang=en>", "an HTML page"),
        (b"<!-- x --><html><body>", "an HTML page"),
        (b'<?xml version="1.0"?><Error><Code>AccessDenied</Code>', "XML"),
        (b"<svg xmlns=", "XML"),
        (b'{"error": "expired"}', "JSON"),
        (b'\n[ {"a": 1}]', "JSON"),
        (b"not found", "text"),
        (b"#EXTM3U\n#EXT-X-VERSION:3", "an HLS playlist"),
        (b"PK\x03\x04rest", "a ZIP archive"),
        (b"%PDF-1.7", "a PDF document"),
        (b"\x1f\x8b\x08\0", "gzip data"),
        (b"RIFF\0\0\0\0AVI LIST", "an AVI video"),
        (b"\0\x01\x02\x03\x04", "an unknown format"),
        (id3(100) + bytes(3000), "an ID3 tag without"),
        (id3(100) + b"<html>", "an ID3 tag without"),
        (id3(100), "an ID3 tag without"),
    ],
)
def test_refusal_names_what_was_found(data: bytes, named: str) -> None:
    for role in ROLES:
        with pytest.raises(Permanent, match=named):
            identify(data, role=role)


@pytest.mark.parametrize(
    ("inner", "extension"),
    [(BARE, "mp3"), (FLAC, "flac"), (AAC, "aac"), (bytes(500) + BARE, "mp3")],
)
@pytest.mark.parametrize("tag", [id3(10), id3(5000), id3(300, flags=0x10), id3(9) + id3(700)])
def test_what_follows_a_tag_decides(tag: bytes, inner: bytes, extension: str) -> None:
    assert identify(tag + inner, role="audio").extension == extension


def test_one_frame_is_not_yet_an_mp3() -> None:
    size = BARE.index(b"\xff\xf3", 4)
    for data in (BARE[:size], BARE[:size] + b"\xff\xfb\x90\x00" + bytes(500), BARE[1:]):
        with pytest.raises(Permanent):
            identify(data, role="audio")


def test_needed_prefix_reaches_behind_the_tag() -> None:
    assert needed_prefix(b"") == needed_prefix(FLAC)
    assert 200_010 < needed_prefix(id3(200_000)[:4096]) < 250_000
    assert needed_prefix(id3(5_000_000)[:4096]) == 1024 * 1024


@pytest.mark.parametrize(
    ("tag", "extension"),
    [(id3(200_000), "flac"), (id3(20_000) + id3(300_000), "flac"), (id3(3_000_000), "mp3")],
    ids=["one", "two", "beyond-the-cap"],
)
def test_recognise_looks_as_far_as_it_needs(tag: bytes, extension: str) -> None:
    data = tag + FLAC
    with Origin(reply(data)) as origin, downloader().open(origin.url()) as body:
        assert recognise(body.peek, role="audio").extension == extension
        assert body.received < len(data) or len(data) < 1024 * 1024


def test_tag_without_content_is_no_mp3_however_long() -> None:
    with pytest.raises(Permanent):
        recognise(lambda size: (id3(3_000_000)[:10] + bytes(3_000_000))[:size], role="audio")


def test_tag_that_is_cut_is_refused() -> None:
    with pytest.raises(Permanent, match="ID3"):
        recognise(lambda size: id3(200_000)[: min(size, 50_000)], role="audio")


def test_no_bytes_make_it_stumble() -> None:
    chance = random.Random(7)
    samples = [(SAMPLES / name).read_bytes() for name, _ in TYPES]
    starts = [
        b"",
        b"ID3",
        b"RIFF",
        b"OggS",
        b"\xff\xfb",
        b"\xff\xf1",
        b"\x1aE\xdf\xa3",
        b"\0\0\0\x18ftyp",
    ]
    for _ in range(3000):
        data = bytearray(chance.choice(starts) + chance.randbytes(chance.randrange(64)))
        data += chance.choice(samples)[: chance.randrange(200)] if chance.random() < 0.3 else b""
        swallow(bytes(data))
    for sample in samples:
        for _ in range(60):
            broken = bytearray(sample[: chance.randrange(len(sample))] or b"x")
            broken[chance.randrange(len(broken))] = chance.randrange(256)
            swallow(bytes(broken))


def swallow(data: bytes) -> None:
    assert 0 < needed_prefix(data) <= 1024 * 1024
    for role in ROLES:
        try:
            assert identify(data, role=role).kind == role
        except Permanent as error:
            assert "found" in str(error)
