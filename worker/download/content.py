"""What the first bytes of a file say it is; a declared content type is only a claim."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from worker.download import mpeg_audio
from worker.errors import Permanent

Role = Literal["audio", "image", "video"]

_FIRST_LOOK = 16 * 1024
_LONGEST_LOOK = 1024 * 1024


@dataclass(frozen=True)
class Content:
    """A type of media: `mime` for the content type, `extension` without a dot."""

    kind: Role
    mime: str
    extension: str


@dataclass(frozen=True)
class _Found:
    """A format under the name that people know, and what a file of it can be taken as."""

    name: str
    contents: tuple[Content, ...] = ()


def identify(prefix: bytes, *, role: Role) -> Content:
    """Return what a file that begins with `prefix` is, in the role that is expected of it.

    Raises Permanent, naming what was found, for anything that cannot play that role.
    """
    found = _found(prefix)
    for content in found.contents:
        if content.kind == role:
            return content
    raise Permanent(f"expected {_ROLES[role]}, but found {found.name}: check the source")


def needed_prefix(prefix: bytes) -> int:
    """How many first bytes `identify` wants in order to be sure, at most 1 MiB.

    It may want more once it has seen those: a tag may be followed by another one.
    """
    tag = mpeg_audio.end_of_tags(prefix)
    return min(tag + _FIRST_LOOK, _LONGEST_LOOK)


def recognise(peek: Callable[[int], bytes], *, role: Role) -> Content:
    """Identify what `peek(size)` shows of the first bytes, looking as far as needed."""
    prefix = peek(_FIRST_LOOK)
    while (needed := needed_prefix(prefix)) > len(prefix):
        longer = peek(needed)
        if len(longer) <= len(prefix):
            break
        prefix = longer
    return identify(prefix, role=role)


_ROLES: dict[Role, str] = {"audio": "audio", "image": "an image", "video": "a video"}


def _audio(mime: str, extension: str, name: str) -> _Found:
    return _Found(name, (Content("audio", mime, extension),))


def _image(mime: str, extension: str, name: str) -> _Found:
    return _Found(name, (Content("image", mime, extension),))


_M4A = Content("audio", "audio/mp4", "m4a")
_MP4 = Content("video", "video/mp4", "mp4")
_WEBM_AUDIO = Content("audio", "audio/webm", "webm")
_WEBM_VIDEO = Content("video", "video/webm", "webm")
_MP3 = _audio("audio/mpeg", "mp3", "MP3 audio")
_AAC = _audio("audio/aac", "aac", "AAC audio")
_WAV = _audio("audio/wav", "wav", "WAV audio")
_AIFF = _audio("audio/aiff", "aiff", "AIFF audio")
_OGG = _audio("audio/ogg", "ogg", "Ogg audio")
_OPUS = _audio("audio/ogg", "opus", "Opus audio")
_WEBP = _image("image/webp", "webp", "a WebP image")
_AVIF = _image("image/avif", "avif", "an AVIF image")
_HEIC = _image("image/heic", "heic", "a HEIC image")
_QUICKTIME = _Found("a QuickTime video", (Content("video", "video/quicktime", "mov"),))
_MATROSKA = _Found("a Matroska video", (Content("video", "video/x-matroska", "mkv"),))
_TAGGED = "an ID3 tag without MP3, AAC or FLAC audio behind it"

_SIGNATURES: tuple[tuple[bytes, _Found], ...] = (
    (b"fLaC", _audio("audio/flac", "flac", "FLAC audio")),
    (b"\xff\xd8\xff", _image("image/jpeg", "jpg", "a JPEG image")),
    (b"\x89PNG\r\n\x1a\n", _image("image/png", "png", "a PNG image")),
    (b"GIF87a", _image("image/gif", "gif", "a GIF image")),
    (b"GIF89a", _image("image/gif", "gif", "a GIF image")),
    (b"PK\x03\x04", _Found("a ZIP archive")),
    (b"PK\x05\x06", _Found("a ZIP archive")),
    (b"Rar!", _Found("a RAR archive")),
    (b"7z\xbc\xaf\x27\x1c", _Found("a 7z archive")),
    (b"\x1f\x8b", _Found("gzip data")),
    (b"%PDF", _Found("a PDF document")),
    (b"#EXTM3U", _Found("an HLS playlist")),
    (b"MThd", _Found("a MIDI file")),
    (b"FLV\x01", _Found("a Flash video")),
    (b"0&\xb2u\x8ef\xcf\x11", _Found("Windows Media")),
    (b"#!AMR", _Found("AMR audio")),
    (b"BM", _Found("a BMP image")),
    (b"II*\x00", _Found("a TIFF image")),
    (b"MM\x00*", _Found("a TIFF image")),
    (b"\x7fELF", _Found("a program")),
)
_RIFF_FORMS = {b"WAVE": _WAV, b"WEBP": _WEBP, b"AVI ": _Found("an AVI video")}
_FORM_TYPES = {b"AIFF": _AIFF, b"AIFC": _AIFF}
_AVIF_BRANDS = frozenset({b"avif", b"avis"})
_HEIC_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx"})
_AUDIO_BRANDS = frozenset({b"M4A ", b"M4B ", b"M4P ", b"F4A "})
_MP4_BRANDS = re.compile(rb"iso.|mp4.|M4V.|avc1|dash|msdh|cmf.|F4V |MSNV|mmp4|piff|XAVC", re.DOTALL)
_BARE_QUICKTIME = frozenset({b"moov", b"mdat", b"wide"})
_MARKUP = re.compile(rb"<(!doctype\s+html|html|head|body|script|title|meta|p|div|h1)\b")


def _found(prefix: bytes) -> _Found:
    if not prefix:
        return _Found("an empty file")
    tags = mpeg_audio.end_of_tags(prefix)
    if tags:
        return _behind_tag(prefix, tags)
    return _signed(prefix) or _container(prefix) or _stream(prefix) or _text(prefix)


def _behind_tag(prefix: bytes, tags: int) -> _Found:
    if tags >= len(prefix) >= _LONGEST_LOOK and mpeg_audio.has_tag_frames(prefix):
        # A cover picture of many megabytes inside the tag: nobody but MP3 writers do that.
        return _MP3
    inner = prefix[tags:].lstrip(b"\0")
    if inner.startswith(b"fLaC"):
        return _signed(inner) or _Found(_TAGGED)
    return _stream(inner) or _Found(_TAGGED)


def _signed(prefix: bytes) -> _Found | None:
    return next((found for magic, found in _SIGNATURES if prefix.startswith(magic)), None)


def _container(prefix: bytes) -> _Found | None:
    magic, form = prefix[:4], prefix[8:12]
    if magic in (b"RIFF", b"RF64"):
        return _RIFF_FORMS.get(form, _Found("an unknown RIFF file"))
    if magic == b"FORM":
        return _FORM_TYPES.get(form, _Found("an unknown IFF file"))
    if magic == b"OggS":
        return _ogg(prefix)
    if magic == b"\x1aE\xdf\xa3":
        return _ebml(prefix)
    if prefix[4:8] == b"ftyp":
        return _iso_media(prefix)
    return _QUICKTIME if prefix[4:8] in _BARE_QUICKTIME else None


def _ogg(prefix: bytes) -> _Found:
    # The first packet follows the first page's header of 27 bytes and its segment table.
    packet = prefix[27 + prefix[26] :] if len(prefix) > 26 else b""
    if packet.startswith(b"OpusHead"):
        return _OPUS
    if packet.startswith((b"\x01vorbis", b"\x7fFLAC", b"Speex   ")):
        return _OGG
    return _Found("an Ogg file without known audio")


def _ebml(prefix: bytes) -> _Found:
    head = prefix[:64]
    if b"\x42\x82" in head and b"webm" in head:
        audio, video = b"A_OPUS" in prefix or b"A_VORBIS" in prefix, b"V_" in prefix
        return _tracks("WebM", _WEBM_AUDIO, _WEBM_VIDEO, audio=audio, video=video)
    return _MATROSKA if b"matroska" in head else _Found("an unknown EBML file")


def _iso_media(prefix: bytes) -> _Found:
    major, brands = prefix[8:12], _brands(prefix)
    if major in _AUDIO_BRANDS:
        return _Found("M4A audio", (_M4A,))
    if major == b"qt  ":
        return _QUICKTIME
    if brands & _AVIF_BRANDS:
        return _AVIF
    if brands & _HEIC_BRANDS:
        return _HEIC
    if any(_MP4_BRANDS.fullmatch(brand) for brand in brands):
        audio, video = _handled(prefix, b"soun"), _handled(prefix, b"vide")
        return _tracks("MP4", _M4A, _MP4, audio=audio, video=video)
    return _Found("an unknown file of the MP4 family")


def _brands(prefix: bytes) -> set[bytes]:
    """The major brand and the compatible ones, without the version between them."""
    end = min(int.from_bytes(prefix[:4], "big"), len(prefix), 1024)
    return {prefix[8:12]} | {prefix[at : at + 4] for at in range(16, end - 3, 4)}


def _handled(prefix: bytes, handler: bytes) -> bool:
    return re.search(rb"hdlr.{8}" + handler, prefix, re.DOTALL) is not None


def _tracks(name: str, sound: Content, picture: Content, *, audio: bool, video: bool) -> _Found:
    """A container of both kinds; the tracks in sight decide, and without any its role does."""
    if audio and not video:
        return _Found(f"{name} audio without a picture", (sound,))
    if video and not audio:
        return _Found(f"a {name} video without sound", (picture,))
    return _Found(f"a {name} file", (sound, picture))


def _stream(prefix: bytes) -> _Found | None:
    data = prefix.lstrip(b"\0")
    if mpeg_audio.is_mp3(data):
        return _MP3
    return _AAC if mpeg_audio.is_adts(data) else None


def _text(prefix: bytes) -> _Found:
    start = prefix[:1024].removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if _MARKUP.match(start) or (start.startswith(b"<") and b"<html" in start):
        return _Found("an HTML page")
    if start.startswith((b"<?xml", b"<svg")) or re.match(rb"<[a-z!]", start):
        return _Found("XML")
    if re.match(rb'\{\s*["}]|\[\s*[\["{\]\d]', start):
        return _Found("JSON")
    if start.isascii() and not re.search(rb"[\x00-\x08\x0e-\x1f]", start):
        return _Found("text")
    return _Found("an unknown format")
