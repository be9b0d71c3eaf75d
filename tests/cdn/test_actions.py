"""What a run does, in which order, and what it says came of it."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest

from tests.cdn.parts import track
from worker.cdn.actions import SyncTrack
from worker.cdn.model import Copy, FileRole, NotThereYet, Original, PurgeRefused, Track
from worker.cdn.sidecar import Sidecar
from worker.errors import Busy, ClaimLost, Outage, Permanent, Pointless, Temporary
from worker.queue.model import Again, Claimed, Done, Failed, Outcome, Recorded
from worker.storage import BadKey

WORK = Claimed(UUID(int=1), UUID(int=2), attempts=1, crashes=0)
DELAYS = (5.0, 10.0, 60.0, 300.0)
COPIES: Mapping[FileRole, Copy] = {
    "audio": Copy("https://cdn/audio", True),
    "sidecar": Copy("https://cdn/sidecar", True),
}


class World:
    """A register, sources, a target and caches that note what is asked of them, in order."""

    def __init__(self, found: Track | None) -> None:
        self.found = found
        self.done: list[str] = []
        self.recorded: dict[str, Any] = {}
        self.audio_of: Original | Exception = Sidecar(b"audio")
        self.sidecar_of: Sidecar | Exception = Sidecar(b"{}")
        self.overwrites = False
        self.cached = False
        self.leftovers = False
        self.bad_key = False
        self.answers: dict[str, Any] = {}
        self.errors: dict[str, Exception] = {}

    async def run(self) -> Outcome:
        action = SyncTrack(
            self, self, {"r2_cdn": self}, self,
            explain=lambda name: f"set {name}", delays=DELAYS,
        )  # fmt: skip
        return await action(WORK)

    def _note(self, what: str) -> Any:
        self.done.append(what)
        if what in self.errors:
            raise self.errors[what]
        return self.answers.get(what)

    async def load(self, work: Claimed) -> Track | None:
        return self.found

    async def withdraw(self, work: Claimed) -> str:
        return self._note("withdraw") or "withdrawn"

    async def stale(self, work: Claimed) -> bool:
        held = self._note("stale")
        return True if held is None else bool(held)

    async def deleted(self, work: Claimed, *, message: str | None = None, ends: bool = True) -> str:
        self.recorded = {"message": message, "ends": ends}
        return self._note("deleted") or "deleted"

    async def record(
        self, work: Claimed, track: Track, copies: Mapping[FileRole, Copy], **facts: Any
    ) -> str:
        self.recorded = {"copies": copies, **facts}
        return self._note("record") or "recorded"

    async def audio(self, track: Track) -> Original:
        if isinstance(self.audio_of, Exception):
            raise self.audio_of
        return self.audio_of

    async def sidecar(self, track: Track) -> Sidecar:
        if isinstance(self.sidecar_of, Exception):
            raise self.sidecar_of
        return self.sidecar_of

    @contextmanager
    def room(self, *, behind: bool) -> Iterator[None]:
        self._note("room")
        yield
        self.done.append("left")

    def check(self, track: Track) -> None:
        if self.bad_key:
            raise BadKey("no safe key")

    def cached_urls(self, track: Track) -> Sequence[str]:
        return ["https://cdn/audio", "https://cdn/sidecar"] if self.cached else []

    def has_leftovers(self, track: Track) -> bool:
        return self.leftovers

    async def send(
        self,
        work: Claimed,
        track: Track,
        originals: Mapping[FileRole, Original],
        *,
        overwriting: Callable[[], Awaitable[None]],
    ) -> Mapping[FileRole, Copy]:
        assert list(originals) == ["audio", "sidecar"]
        if self.overwrites:
            await overwriting()
            await overwriting()
        self._note("send")
        return COPIES

    async def remove(self, work: Claimed, track: Track) -> None:
        self._note("remove")

    async def remove_leftovers(self, work: Claimed, track: Track) -> None:
        self._note("remove leftovers")

    async def purge(self, urls: Sequence[str]) -> None:
        assert list(urls) == ["https://cdn/audio", "https://cdn/sidecar"]
        self._note("purge")


@pytest.fixture
def upload() -> World:
    return World(track("a.mp3"))


@pytest.fixture
def delete() -> World:
    return World(track("a.mp3", wanted="delete", exists=False))


async def test_copies_are_sent_and_recorded(upload: World) -> None:
    assert await upload.run() == Recorded()
    assert upload.done == ["room", "send", "record", "left"]
    assert upload.recorded["copies"] is COPIES
    assert upload.recorded["ends"] and not upload.recorded["stale"]


async def test_row_withdraws_its_claim_before_anything_is_deleted(delete: World) -> None:
    assert await delete.run() == Recorded()
    assert delete.done == ["room", "withdraw", "remove", "deleted", "left"]
    assert delete.recorded == {"message": None, "ends": True}


async def test_row_that_wants_no_copies_has_them_deleted() -> None:
    world = World(track("a.mp3", wanted="delete"))
    assert await world.run() == Recorded()
    assert "remove" in world.done


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (track(None, wanted="nothing", exists=False), "no such track"),
        (track(None, wanted="nothing"), "no file_path"),
    ],
)
async def test_row_that_wants_nothing_ends_the_work(found: Track, said: str) -> None:
    world = World(found)
    with pytest.raises(Pointless, match=said):
        await world.run()
    assert world.done == []


async def test_lost_claim_does_nothing() -> None:
    world = World(None)
    with pytest.raises(ClaimLost):
        await world.run()
    assert world.done == []


async def test_target_that_is_not_configured_waits() -> None:
    world = World(track("a.mp3", target="gone"))
    with pytest.raises(Outage, match="set gone") as outage:
        await world.run()
    assert outage.value.service == "cdn:gone"


async def test_target_without_room_is_left_alone(upload: World) -> None:
    upload.errors["room"] = Busy("enough", retry_after=7)
    with pytest.raises(Busy):
        await upload.run()
    assert upload.done == ["room"]


@pytest.mark.parametrize(
    "error", [Temporary("cut"), Permanent("no audio"), Outage("storage", "down"), Busy("hangs")]
)
async def test_source_that_fails_sends_nothing(upload: World, error: Exception) -> None:
    upload.audio_of = error
    with pytest.raises(type(error)):
        await upload.run()
    assert upload.done == ["room"]


async def test_unsafe_key_fails_before_anything_is_read(upload: World) -> None:
    upload.bad_key, upload.audio_of = True, AssertionError()
    with pytest.raises(BadKey):
        await upload.run()


async def test_nothing_can_be_at_an_unsafe_key(delete: World) -> None:
    delete.bad_key = True
    assert await delete.run() == Done(reached_service=False)
    assert delete.done == ["room", "withdraw", "left"]


# sources that may yet come


def waited(upload: World, seconds: float) -> None:
    assert upload.found is not None
    upload.found = replace(upload.found, asked_at=time.monotonic() - seconds)


@pytest.mark.parametrize(("seconds", "delay"), [(0, 5), (6, 10), (16, 60), (100, 300), (9999, 300)])
async def test_missing_key_is_looked_for_ever_more_rarely(
    upload: World, seconds: float, delay: float
) -> None:
    upload.audio_of = NotThereYet("no a.mp3")
    waited(upload, seconds)
    outcome = await upload.run()
    assert isinstance(outcome, Again) and not outcome.counted
    assert outcome.delay is not None and 0.75 * delay <= outcome.delay <= 1.25 * delay


async def test_missing_key_is_given_up_after_a_day(upload: World) -> None:
    upload.audio_of = NotThereYet("no a.mp3")
    waited(upload, 24 * 3600 + 1)
    outcome = await upload.run()
    assert isinstance(outcome, Failed) and "upload it" in outcome.message


async def test_last_look_for_a_missing_key_is_before_the_day_is_over(upload: World) -> None:
    upload.audio_of = NotThereYet("no a.mp3")
    waited(upload, 24 * 3600 - 60)
    outcome = await upload.run()
    assert isinstance(outcome, Again) and outcome.delay is not None and outcome.delay <= 30


async def test_missing_sidecar_is_looked_for_again_with_the_copies_recorded(upload: World) -> None:
    upload.sidecar_of = Sidecar(b"{}", note="no x.json", awaited=True)
    outcome = await upload.run()
    assert isinstance(outcome, Again) and not outcome.counted and outcome.message == "no x.json"
    assert upload.done[-2] == "record" and not upload.recorded["ends"]


async def test_missing_sidecar_is_not_waited_for_long(upload: World) -> None:
    upload.sidecar_of = Sidecar(b"{}", note="no x.json", awaited=True)
    waited(upload, sum(DELAYS[:3]) + 1)
    assert await upload.run() == Recorded()
    assert upload.recorded["ends"] and upload.recorded["message"] == "no x.json"


# what a cache may still hold


async def test_what_is_overwritten_is_noted_first_and_purged_afterwards(upload: World) -> None:
    upload.cached = upload.overwrites = True
    assert await upload.run() == Recorded()
    assert upload.done == ["room", "stale", "send", "purge", "record", "left"]
    assert upload.recorded["stale"] is False


async def test_what_is_new_is_not_purged(upload: World) -> None:
    upload.cached = True
    await upload.run()
    assert "purge" not in upload.done and "stale" not in upload.done


async def test_without_a_cache_nothing_is_noted_or_purged(upload: World) -> None:
    upload.overwrites = True
    await upload.run()
    assert upload.done == ["room", "send", "record", "left"]


async def test_deletion_is_noted_first_and_purged_afterwards(delete: World) -> None:
    delete.cached = True
    assert await delete.run() == Recorded()
    assert delete.done == ["room", "withdraw", "stale", "remove", "purge", "deleted", "left"]


async def test_what_an_earlier_run_left_is_purged(upload: World) -> None:
    upload.cached, upload.found = True, track("a.mp3", stale=True)
    assert await upload.run() == Recorded()
    assert upload.done == ["room", "send", "purge", "record", "left"]


async def test_copies_are_recorded_though_the_cache_cannot_be_told(upload: World) -> None:
    upload.cached = upload.overwrites = True
    upload.errors["purge"] = Busy("cloudflare is away", retry_after=30)
    with pytest.raises(Busy, match="cloudflare") as busy:
        await upload.run()
    assert busy.value.retry_after == 30
    assert upload.recorded["stale"] and not upload.recorded["ends"]


async def test_deletion_is_recorded_though_the_cache_cannot_be_told(delete: World) -> None:
    delete.cached = True
    delete.errors["purge"] = Busy("cloudflare is away")
    with pytest.raises(Busy):
        await delete.run()
    assert delete.recorded == {"message": None, "ends": False}


async def test_cache_that_is_not_the_targets_is_a_note_and_no_more(
    upload: World, delete: World
) -> None:
    for world in (upload, delete):
        world.cached = world.overwrites = True
        world.errors["purge"] = PurgeRefused("not of this zone", retry_after=600)
        assert await world.run() == Recorded()
        assert world.recorded["message"] == "not of this zone" and world.recorded["ends"]
    assert upload.recorded["stale"] is False


async def test_lost_claim_overwrites_nothing(upload: World) -> None:
    upload.cached = upload.overwrites = True
    upload.answers["stale"] = False
    with pytest.raises(ClaimLost):
        await upload.run()
    assert "send" not in upload.done


# rows that change meanwhile


@pytest.mark.parametrize("said", ["changed", "gone"])
async def test_deletion_stops_where_it_is_wanted_no_more(delete: World, said: str) -> None:
    delete.answers["withdraw"] = said
    assert await delete.run() == Recorded()
    assert delete.done == ["room", "withdraw", "left"]


@pytest.mark.parametrize("said", ["changed", "gone"])
async def test_track_that_changed_meanwhile_is_left_to_the_next_run(
    upload: World, said: str
) -> None:
    upload.answers["record"], upload.leftovers = said, True
    assert await upload.run() == Recorded()
    assert "remove leftovers" not in upload.done


async def test_claim_that_was_lost_meanwhile_is_said(upload: World, delete: World) -> None:
    upload.answers["record"] = delete.answers["withdraw"] = "claim lost"
    for world in (upload, delete):
        with pytest.raises(ClaimLost):
            await world.run()
    assert "remove" not in delete.done


async def test_copy_that_was_lost_meanwhile_is_sent_again_soon(upload: World) -> None:
    upload.answers["record"] = "lost audio"
    with pytest.raises(Busy):
        await upload.run()


async def test_copies_at_older_places_go_when_the_new_ones_are_recorded(upload: World) -> None:
    upload.leftovers = True
    assert await upload.run() == Done(None)
    assert upload.done == ["room", "send", "record", "remove leftovers", "left"]
    assert not upload.recorded["ends"]
