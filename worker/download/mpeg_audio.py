"""Frame headers of MP3 and AAC streams, and the ID3 tags before them.

Such a stream has no signature: only headers that follow each other at the distance which they
promise tell it from noise.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_TAG_HEADER = 10
_MOST_TAGS = 8
_TAG_FRAME = re.compile(rb"[A-Z0-9]{3,4}")
_BITRATES_1 = (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
_BITRATES_2 = (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
_SAMPLE_RATES = (44100, 48000, 32000)
_ADTS_HEADER = 7


@dataclass(frozen=True)
class Mp3Frame:
    """One frame of MPEG layer III; `size` in bytes, `side_info` is where its Xing tag would be."""

    size: int
    stream: tuple[int, int]
    side_info: int


def end_of_tags(prefix: bytes) -> int:
    """Where the ID3v2 tags at the beginning end, in bytes, even beyond `prefix`; 0 without any."""
    end = 0
    for _ in range(_MOST_TAGS):
        end += _tag_size(prefix[end : end + _TAG_HEADER])
    return end


def has_tag_frames(prefix: bytes) -> bool:
    """Whether the first tag really holds something."""
    return _TAG_FRAME.match(prefix, _TAG_HEADER) is not None


def is_mp3(data: bytes) -> bool:
    """Whether two frames of the same stream follow each other."""
    first = mp3_frame(data)
    if first is None:
        return False
    second = mp3_frame(data[first.size : first.size + 4])
    return second is not None and second.stream == first.stream


def mp3_frame(data: bytes) -> Mp3Frame | None:
    """The frame whose header `data` begins with."""
    if len(data) < 4 or data[0] != 0xFF or data[1] & 0xE6 != 0xE2:
        return None
    version, bitrate, rate = data[1] >> 3 & 3, data[2] >> 4, data[2] >> 2 & 3
    if version == 1 or bitrate in (0, 15) or rate == 3 or data[3] & 3 == 2:
        return None
    first_version = version == 3
    kbits = (_BITRATES_1 if first_version else _BITRATES_2)[bitrate - 1]
    hertz = _SAMPLE_RATES[rate] >> {3: 0, 2: 1, 0: 2}[version]
    size = (144_000 if first_version else 72_000) * kbits // hertz + (data[2] >> 1 & 1)
    mono = data[3] >> 6 == 3
    side_info = 4 + ((17 if mono else 32) if first_version else (9 if mono else 17))
    return Mp3Frame(size, (version, rate), side_info)


def is_adts(data: bytes) -> bool:
    """Whether two AAC frames of the same stream follow each other."""
    size = _adts_size(data)
    second = data[size : size + _ADTS_HEADER] if size else b""
    return bool(_adts_size(second)) and data[1:3] == second[1:3]


def _tag_size(header: bytes) -> int:
    """The size of the tag with its header and footer; the top bit of each size byte is unused."""
    if len(header) < _TAG_HEADER or header[:3] != b"ID3" or any(byte & 0x80 for byte in header[6:]):
        return 0
    size = 0
    for byte in header[6:]:
        size = size << 7 | byte
    return _TAG_HEADER + size + (_TAG_HEADER if header[5] & 0x10 else 0)


def _adts_size(data: bytes) -> int:
    if len(data) < _ADTS_HEADER or data[0] != 0xFF or data[1] & 0xF6 != 0xF0:
        return 0
    size = (data[3] & 3) << 11 | data[4] << 3 | data[5] >> 5
    return size if size >= _ADTS_HEADER else 0
