"""Where audio and sidecars come from: keys, URLs of ours, and other people's URLs."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator

import pytest

from tests.cdn.parts import MOST, SourceParts, source_parts, track
from tests.support.buckets import S3ForTests
from tests.support.wait import wait_until_async
from worker.cdn.model import Goods, NotThereYet
from worker.cdn.sidecar import Sidecar
from worker.demo.behaviour import Behaviour, Gate, document, page, redirect, refusal
from worker.demo.bodies import Bytes, GeneratedMp3, media
from worker.demo.provider import Provider
from worker.errors import Gone, Outage, Permanent, Temporary

MELODY = media("melody.mp3").content
MADE = b'{"track_id": "t1"}'


@pytest.fixture
def parts(s3: S3ForTests) -> Iterator[SourceParts]:
    with source_parts(s3) as made:
        yield made


def whole(goods: Goods) -> bytes:
    source, found, buffer = goods.open(), b"", memoryview(bytearray(64 * 1024))
    while count := source.readinto(buffer):
        found += bytes(buffer[:count])
    return found


async def test_key_is_read_from_the_source_bucket(parts: SourceParts) -> None:
    parts.put("songs/a.mp3", MELODY)
    audio = await parts.sources.audio(track("songs/a.mp3"))
    goods = await audio.goods()
    assert whole(goods) == MELODY and goods.content_type == "audio/mpeg"
    assert audio.stored is not None and audio.stored.team
    assert await audio.recognised() == "audio/mpeg"


async def test_missing_key_may_be_on_its_way(parts: SourceParts) -> None:
    with pytest.raises(NotThereYet, match="has no object"):
        await parts.sources.audio(track("songs/a.mp3"))
    parts.put("songs/a.mp3", MELODY)
    assert await parts.sources.audio(track("songs/a.mp3"))


@pytest.mark.parametrize(
    "form",
    [
        "{endpoint}/{bucket}/{key}",
        "{endpoint}/{bucket}/{key}?X-Amz-Signature=abc",
        "https://media.example.com/{bucket}/{key}",
        "HTTPS://media.example.com/{bucket}/{key}",
    ],
)
async def test_url_into_a_bucket_of_the_team_is_read_by_key(parts: SourceParts, form: str) -> None:
    bucket = parts.other.target.bucket
    parts.s3.boto.put_object(Bucket=bucket, Key="a/b.mp3", Body=MELODY)
    url = form.format(endpoint=parts.s3.endpoint, bucket=bucket, key="a/b.mp3")
    audio = await parts.sources.audio(track(url))
    assert audio.stored is not None and audio.stored.store is parts.other and audio.stored.team
    assert whole(await audio.goods()) == MELODY


async def test_url_into_a_target_is_read_by_key_but_is_no_team_storage(parts: SourceParts) -> None:
    parts.s3.boto.put_object(Bucket=parts.cdn.target.bucket, Key="media/x.mp3", Body=MELODY)
    audio = await parts.sources.audio(track("https://cdn.example.com/media/x.mp3"))
    assert audio.stored is not None and not audio.stored.team
    assert whole(await audio.goods()) == MELODY


@pytest.mark.parametrize("path", ["../x.mp3", "a//b.mp3", "/a.mp3", "ü.mp3", "ftp://host/a.mp3"])
async def test_path_that_can_be_no_key_is_refused(parts: SourceParts, path: str) -> None:
    with pytest.raises(Permanent):
        await parts.sources.audio(track(path))


async def test_key_waits_while_no_storage_is_configured(s3: S3ForTests, provider: Provider) -> None:
    with source_parts(s3, team=False) as parts:
        with pytest.raises(Outage, match="STORAGE_ENDPOINT") as outage:
            await parts.sources.audio(track("a.mp3"))
        assert outage.value.service == "storage"
        audio = await parts.sources.audio(track(provider.url("/ok/melody.mp3")))
        assert whole(await audio.goods()) == MELODY
        assert await parts.sources.sidecar(track(provider.url("/ok/melody.mp3"))) == Sidecar(MADE)


async def test_object_over_the_limit_is_refused_without_being_read(parts: SourceParts) -> None:
    parts.put("a.mp3", bytes(MOST + 1))
    with pytest.raises(Permanent, match="CDN_MAX_BYTES"):
        await parts.sources.audio(track("a.mp3"))


async def test_another_version_of_an_object_is_another_source(parts: SourceParts) -> None:
    parts.put("a.mp3", MELODY)
    before = await parts.sources.audio(track("a.mp3"))
    assert before.source_hash and await before.is_still(before.source_hash)
    parts.put("a.mp3", MELODY + bytes(9))
    after = await parts.sources.audio(track("a.mp3"))
    assert not await after.is_still(before.source_hash)
    assert (await after.goods()).source_hash == after.source_hash != before.source_hash


async def test_two_targets_share_one_download(parts: SourceParts, provider: Provider) -> None:
    url, asked_at = provider.serve("/song.mp3"), time.monotonic()
    for _ in range(2):
        audio = await parts.sources.audio(track(url, asked_at=asked_at))
        assert whole(await audio.goods()) == MELODY
    assert len(provider.requests()) == 1


async def test_what_is_asked_for_again_is_downloaded_again(
    parts: SourceParts, provider: Provider
) -> None:
    other = media("chime.wav")
    url = provider.serve("/song.mp3", Behaviour(), Behaviour(other))
    for content in (MELODY, other.content):
        audio = await parts.sources.audio(track(url))
        assert whole(await audio.goods()) == content


async def test_strong_etag_tells_that_nothing_has_changed(
    parts: SourceParts, provider: Provider
) -> None:
    url = provider.serve("/song.mp3", Behaviour(GeneratedMp3(1, 5_000_000)))
    known = (await (await parts.sources.audio(track(url))).goods()).source_hash
    again = await parts.sources.audio(track(url))
    assert await again.is_still(known)
    # begun, but broken off
    assert provider.requests()[1].sent < 5_000_000
    provider.serve("/song.mp3", Behaviour(GeneratedMp3(2, 5_000_000)))
    assert not await (await parts.sources.audio(track(url))).is_still(known)


async def test_another_url_is_not_asked_whether_it_has_changed(
    parts: SourceParts, provider: Provider
) -> None:
    known = (await (await parts.sources.audio(track(provider.serve("/a.mp3")))).goods()).source_hash
    other = await parts.sources.audio(track(provider.serve("/b.mp3")))
    assert not await other.is_still(known)
    assert len(provider.requests()) == 1


async def test_without_etag_only_the_bytes_tell(parts: SourceParts, provider: Provider) -> None:
    url = provider.serve("/song.mp3", Behaviour(etag=""))
    first, second = [await (await parts.sources.audio(track(url))).goods() for _ in range(2)]
    assert first.source_hash == second.source_hash
    assert not await (await parts.sources.audio(track(url))).is_still(first.source_hash)
    assert len(provider.requests()) == 2


@pytest.mark.parametrize(
    ("behaviour", "kind"),
    [
        (refusal(404), Gone),
        (refusal(503), Temporary),
        (page(), Permanent),
        (Behaviour(Bytes(b"PK\x03\x04" + bytes(50))), Permanent),
        (Behaviour(GeneratedMp3(1, MOST + 1)), Permanent),
        (redirect("/song.mp3"), Permanent),
        (redirect("http://192.168.1.1/song.mp3"), Permanent),
        (Behaviour(cut_after=1000, etag=""), Temporary),
    ],
)
async def test_source_that_is_of_no_use(
    parts: SourceParts, provider: Provider, behaviour: Behaviour, kind: type[Exception]
) -> None:
    audio = await parts.sources.audio(track(provider.serve("/song.mp3", behaviour)))
    with pytest.raises(kind):
        await audio.goods()


async def test_download_that_nobody_waits_for_ends(parts: SourceParts, provider: Provider) -> None:
    gate = Gate(100_000)
    url = provider.serve("/song.mp3", Behaviour(GeneratedMp3(1, 9_000_000), gate=gate))
    audio = await parts.sources.audio(track(url))
    run = asyncio.create_task(audio.goods())
    await wait_until_async(gate.reached.is_set)
    run.cancel()
    await asyncio.wait([run])
    gate.release()
    parts.executor.shutdown()  # waits for the thread that reads
    assert provider.requests()[0].sent < 9_000_000


# sidecars


async def test_sidecar_is_the_file_that_the_row_names(
    parts: SourceParts, provider: Provider
) -> None:
    parts.put("a.mp3", MELODY)
    parts.put("a.json", b'{"beside": 1}')
    parts.put("else/where.json", b'{"named": 1}')
    named = track("a.mp3", sidecar_path="else/where.json")
    assert await parts.sources.sidecar(named) == Sidecar(b'{"named": 1}')
    url = provider.serve("/x.json", document({"at": "a URL"}))
    assert (
        await parts.sources.sidecar(track("a.mp3", sidecar_path=url))
    ).data == b'{"at": "a URL"}'


@pytest.mark.parametrize("key", ["songs/a.mp3", "songs/a", "a.b/c.mp3", "x.mp3"])
async def test_sidecar_beside_the_audio_is_found(parts: SourceParts, key: str) -> None:
    beside = {"songs/a.mp3": "songs/a.json", "songs/a": "songs/a.json", "a.b/c.mp3": "a.b/c.json"}
    parts.put(beside.get(key, "x.json"), b'{"beside": 1}')
    assert (await parts.sources.sidecar(track(key))).data == b'{"beside": 1}'


async def test_nothing_is_looked_for_beside_a_url(parts: SourceParts, provider: Provider) -> None:
    assert await parts.sources.sidecar(track(provider.url("/ok/a.mp3"))) == Sidecar(MADE)
    assert provider.requests() == []


async def test_metadata_make_the_sidecar_where_there_is_none(parts: SourceParts) -> None:
    assert await parts.sources.sidecar(track("a.mp3")) == Sidecar(MADE)


async def test_sidecar_that_is_named_and_missing_is_awaited(parts: SourceParts) -> None:
    sidecar = await parts.sources.sidecar(track("a.mp3", sidecar_path="later.json"))
    assert sidecar.data == MADE and sidecar.awaited and "later.json" in (sidecar.note or "")


@pytest.mark.parametrize("data", [b"<html>", b'{"a": NaN}', b"\xff", b"", b" " * 5_000_000])
async def test_what_is_no_json_is_not_used_and_said(parts: SourceParts, data: bytes) -> None:
    parts.put("a.json", data)
    sidecar = await parts.sources.sidecar(track("a.mp3"))
    assert sidecar.data == MADE and sidecar.note and not sidecar.awaited


@pytest.mark.parametrize(
    "behaviour",
    [refusal(404), page(), Behaviour(Bytes(b" " * 5_000_000)), redirect("http://10.1.1.1/")],
)
async def test_sidecar_url_of_no_use_is_not_used_and_said(
    parts: SourceParts, provider: Provider, behaviour: Behaviour
) -> None:
    url = provider.serve("/x.json", behaviour)
    sidecar = await parts.sources.sidecar(track("a.mp3", sidecar_path=url))
    assert sidecar.data == MADE and sidecar.note and not sidecar.awaited
    assert await parts.sources.sidecar(track("a.mp3", sidecar_path="../x")) != Sidecar(MADE)


async def test_sidecar_that_fails_for_now_is_tried_again_but_not_for_ever(
    parts: SourceParts, provider: Provider
) -> None:
    url = provider.serve("/x.json", refusal(503))
    with pytest.raises(Temporary):
        await parts.sources.sidecar(track("a.mp3", sidecar_path=url, attempts=7))
    sidecar = await parts.sources.sidecar(track("a.mp3", sidecar_path=url, attempts=8))
    assert sidecar.data == MADE and sidecar.note
