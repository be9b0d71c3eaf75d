from __future__ import annotations

from dataclasses import replace

import pytest

from worker.errors import Permanent
from worker.storage import BadKey, ForeignUrl, StorageTarget
from worker.storage.urls import key_of, url_of

ENDPOINT = "https://0123abc.r2.cloudflarestorage.com"
PRIVATE = StorageTarget(
    "cdn:r2_cdn", ENDPOINT, "auto", "id", "secret", "media", bucket_in_public_url=False
)
CUSTOM = replace(PRIVATE, public_url="https://cdn.example.com/files")
R2_DEV = replace(PRIVATE, public_url="https://pub-0a1b.r2.dev")
SUPABASE = StorageTarget(
    "storage",
    "https://ref.storage.example.co/storage/v1/s3",
    "auto",
    "id",
    "secret",
    "tracks-audio",
    public_url="https://ref.example.co/storage/v1/object/public/",
)


@pytest.mark.parametrize(
    ("target", "url"),
    [
        (PRIVATE, f"{ENDPOINT}/media/u/a%20b.mp3"),
        (CUSTOM, "https://cdn.example.com/files/u/a%20b.mp3"),
        (R2_DEV, "https://pub-0a1b.r2.dev/u/a%20b.mp3"),
        (SUPABASE, "https://ref.example.co/storage/v1/object/public/tracks-audio/u/a%20b.mp3"),
    ],
)
def test_url_is_public_where_the_bucket_is(target: StorageTarget, url: str) -> None:
    assert url_of(target, "u/a b.mp3") == url
    assert key_of(target, url) == "u/a b.mp3"


@pytest.mark.parametrize(
    "url",
    [
        f"{ENDPOINT}/media/u/a%20b.mp3",
        f"{ENDPOINT}/media/u/a%20b.mp3?X-Amz-Signature=abc&X-Amz-Expires=60",
        f"{ENDPOINT}:443/media/u/a%20b.mp3",
        "https://0123ABC.R2.cloudflarestorage.com/media/u/a%20b.mp3",
        "https://media.0123abc.r2.cloudflarestorage.com/u/a%20b.mp3?x=1",
        "https://cdn.example.com/files/u/a%20b.mp3#t=10",
        "http://cdn.example.com:80/files/u/a b.mp3",
        "https://cdn.example.com/files/u%2Fa%20b.mp3",
    ],
)
def test_every_form_of_url_leads_to_the_key(url: str) -> None:
    assert key_of(CUSTOM, url) == "u/a b.mp3"


@pytest.mark.parametrize("key", ["50%.mp3", "a%41", "a?b#c", "a+b", "~/x"])
def test_key_survives_the_way_to_its_url_and_back(key: str) -> None:
    assert key_of(CUSTOM, url_of(CUSTOM, key)) == key


@pytest.mark.parametrize(
    "url",
    [
        "https://cdn.example.org/files/a.mp3",
        "https://cdn.example.com/other/a.mp3",
        "https://cdn.example.com/filesystem/a.mp3",
        "https://cdn.example.com:8443/files/a.mp3",
        "https://cdn.example.com.evil.example/files/a.mp3",
        "https://cdn.example.com@evil.example/files/a.mp3",
        "https://user@cdn.example.com/files/a.mp3",
        f"{ENDPOINT}/other-bucket/a.mp3",
        f"{ENDPOINT}/media",
        f"{ENDPOINT}/media/",
        "https://other.0123abc.r2.cloudflarestorage.com/a.mp3",
        "https://pub-ffff.r2.dev/a.mp3",
        "ftp://cdn.example.com/files/a.mp3",
        "https://[cdn/files/a.mp3",
        "files/a.mp3",
        "",
    ],
)
def test_foreign_url_is_refused(url: str) -> None:
    with pytest.raises(ForeignUrl) as caught:
        key_of(CUSTOM, url)
    assert isinstance(caught.value, Permanent | ValueError)


def test_refusal_says_what_is_ours_and_shows_no_query() -> None:
    with pytest.raises(ForeignUrl) as caught:
        key_of(CUSTOM, "https://evil.example/a.mp3?X-Amz-Signature=hidden")
    message = str(caught.value)
    assert "evil.example/a.mp3 leads to no object of media" in message
    assert "https://cdn.example.com/files/, " in message
    assert "hidden" not in message


def test_unknown_r2_dev_address_says_which_setting_makes_it_ours() -> None:
    with pytest.raises(ForeignUrl, match="set R2_PUBLIC_URL to it"):
        key_of(PRIVATE, "https://pub-ffff.r2.dev/a.mp3")


@pytest.mark.parametrize("path", ["../a", "%2e%2e/a", "a//b", "a%5Cb", "%252e%252e/a", "%FF"])
def test_url_with_a_hostile_key_is_refused(path: str) -> None:
    with pytest.raises(BadKey):
        key_of(CUSTOM, f"https://cdn.example.com/files/{path}")
