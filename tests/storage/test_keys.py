from __future__ import annotations

import pytest

from worker.errors import Permanent
from worker.storage import check_key

HOSTILE = [
    "",
    "/a",
    "a//b",
    "a/../b",
    "../a",
    "a/..",
    "./a",
    "a/.",
    "a\\b",
    "a\nb",
    "a\x00b",
    "a\x7fb",
    "a/%2e%2e/b",
    "a%2Fb",
    "a%5cb",
    "a%00b",
    "a/%252e%252e/b",
    "тон.mp3",
    "a" * 1025,
]


@pytest.mark.parametrize("key", HOSTILE)
def test_hostile_key_is_refused(key: str) -> None:
    with pytest.raises(ValueError, match="object key"):
        check_key(key)


@pytest.mark.parametrize(
    "key", ["a", "u/t.mp3", "a b.mp3", ".hidden", "a..b", "50%.mp3", "a" * 1024]
)
def test_plain_key_comes_back_unchanged(key: str) -> None:
    assert check_key(key) == key


def test_refused_key_is_a_permanent_error() -> None:
    with pytest.raises(Permanent, match="dot segment"):
        check_key("a/../b")


def test_message_of_a_long_key_is_short() -> None:
    with pytest.raises(ValueError) as caught:
        check_key("a" * 5000)
    assert len(str(caught.value)) < 250
