"""Purging the CDN's cache: what is asked of Cloudflare, and what its answers mean."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from tests.support.wait import wait_until_async
from worker.cdn.model import PurgeRefused
from worker.cdn.purge import CloudflarePurge, cache_purge, no_purge
from worker.demo.behaviour import Behaviour, Gate, document, page, refusal
from worker.demo.bodies import Bytes
from worker.demo.provider import Provider, Request
from worker.errors import Busy
from worker.settings import load_settings

ZONE, TOKEN = "0123abc", "hush-hush"
PATH = f"/zones/{ZONE}/purge_cache"
AUDIO = "https://cdn.example.org/audio/a.mp3"
PURGED = document({"success": True, "errors": [], "result": {"id": ZONE}})


def refused(status: int, code: int, message: str, **headers: str) -> Behaviour:
    """An error as Cloudflare words it."""
    content = json.dumps({"success": False, "errors": [{"code": code, "message": message}]})
    body = Bytes(content.encode(), "application/json")
    return Behaviour(body, status=status, headers=headers, etag="")


def purged_urls(request: Request) -> list[str]:
    return list(json.loads(request.body)["files"])


def audio_urls(count: int, *, of: str = "a") -> list[str]:
    return [f"https://cdn.example.org/audio/{of}-{number}.mp3" for number in range(count)]


@pytest.fixture
def cloudflare(provider: Provider) -> Provider:
    provider.serve(PATH, PURGED)
    return provider


@pytest.fixture
def purge(cloudflare: Provider) -> CloudflarePurge:
    return purge_at(cloudflare.url(""))


def purge_at(api: str) -> CloudflarePurge:
    return CloudflarePurge(ZONE, TOKEN, api=api, gather_seconds=0.02, jitter=lambda: 0.0)


async def trouble_of(purge: CloudflarePurge, urls: Sequence[str] = (AUDIO,)) -> Busy:
    with pytest.raises(Busy) as trouble:
        await purge.purge(urls)
    assert TOKEN not in str(trouble.value)
    return trouble.value


async def test_urls_are_purged_with_the_token(cloudflare: Provider, purge: CloudflarePurge) -> None:
    await purge.purge([AUDIO])
    (request,) = cloudflare.requests()
    assert (request.method, request.path) == ("POST", PATH)
    assert json.loads(request.body) == {"files": [AUDIO]}
    assert request.headers["authorization"] == f"Bearer {TOKEN}"


async def test_nothing_to_purge_asks_nothing(cloudflare: Provider, purge: CloudflarePurge) -> None:
    await purge.purge([])
    assert cloudflare.requests() == []


async def test_concurrent_callers_share_a_request(
    cloudflare: Provider, purge: CloudflarePurge
) -> None:
    await asyncio.gather(*(purge.purge([url, AUDIO]) for url in audio_urls(8)))
    (request,) = cloudflare.requests()
    assert sorted(purged_urls(request)) == sorted([*audio_urls(8), AUDIO])


async def test_no_request_names_more_than_30_urls(
    cloudflare: Provider, purge: CloudflarePurge
) -> None:
    callers = [audio_urls(20, of="a"), audio_urls(20, of="b"), audio_urls(70, of="c")]
    await asyncio.gather(*map(purge.purge, callers))
    asked = [purged_urls(request) for request in cloudflare.requests()]
    assert max(map(len, asked)) <= 30
    assert sorted(url for urls in asked for url in urls) == sorted(
        url for urls in callers for url in urls
    )


async def test_purge_that_comes_later_is_a_request_of_its_own(
    cloudflare: Provider, purge: CloudflarePurge
) -> None:
    await purge.purge([AUDIO])
    await purge.purge([AUDIO])
    assert len(cloudflare.requests()) == 2


async def test_caller_returns_only_after_the_answer(
    cloudflare: Provider, purge: CloudflarePurge
) -> None:
    slow = Gate(0)
    cloudflare.serve(PATH, Behaviour(PURGED.body, gate=slow))
    call = asyncio.create_task(purge.purge([AUDIO]))
    await wait_until_async(slow.reached.is_set)
    assert not call.done()
    slow.release()
    await call


async def test_url_that_is_refused_harms_only_its_own_caller(
    cloudflare: Provider, purge: CloudflarePurge
) -> None:
    foreign = "https://elsewhere.example.com/a.mp3"

    def answer(request: Request) -> Behaviour:
        return refused(400, 1016, "bad URL") if foreign in purged_urls(request) else PURGED

    cloudflare.serve(PATH, answer)
    good = [purge.purge([url]) for url in audio_urls(3)]
    *purged, failed = await asyncio.gather(*good, purge.purge([foreign]), return_exceptions=True)
    assert purged == [None] * 3
    assert isinstance(failed, PurgeRefused)
    assert "bad URL" in str(failed)
    assert "CLOUDFLARE_ZONE_ID" in str(failed)
    await purge.purge([AUDIO])  # the service itself works


async def test_cancelled_caller_harms_no_other(
    cloudflare: Provider, purge: CloudflarePurge
) -> None:
    gone, staying = (asyncio.create_task(purge.purge([url])) for url in audio_urls(2))
    await asyncio.sleep(0)
    gone.cancel()
    await staying
    assert gone.cancelled()
    assert [purged_urls(request) for request in cloudflare.requests()] == [audio_urls(2)[1:]]


async def test_caller_cancelled_during_the_request_harms_no_other(
    cloudflare: Provider, purge: CloudflarePurge
) -> None:
    slow = Gate(0)
    cloudflare.serve(PATH, Behaviour(PURGED.body, gate=slow))
    gone, staying = (asyncio.create_task(purge.purge([url])) for url in audio_urls(2))
    await wait_until_async(slow.reached.is_set)
    gone.cancel()
    slow.release()
    await staying
    assert gone.cancelled()


@pytest.mark.parametrize(
    ("answer", "named"),
    [
        (refused(403, 10000, "Authentication error"), "CLOUDFLARE_API_TOKEN"),
        (refused(401, 9109, "Invalid access token"), "CLOUDFLARE_API_TOKEN"),
        (refused(400, 6003, "Invalid request headers"), "CLOUDFLARE_API_TOKEN"),
        (refused(404, 7003, "Could not route to /zones/purge_cache"), "CLOUDFLARE_ZONE_ID"),
        (refused(400, 7003, "Could not route to /zones/purge_cache"), "CLOUDFLARE_ZONE_ID"),
        (refused(400, 1016, "Unable to purge any urls"), "CLOUDFLARE_ZONE_ID"),
        (refused(200, 1015, "Unable to purge"), "CLOUDFLARE_ZONE_ID"),
    ],
)
async def test_what_a_person_has_to_mend_is_named_and_not_tried_often(
    cloudflare: Provider, purge: CloudflarePurge, answer: Behaviour, named: str
) -> None:
    cloudflare.serve(PATH, answer)
    trouble = await trouble_of(purge)
    assert named in str(trouble)
    assert trouble.retry_after > 300


@pytest.mark.parametrize(
    "answer",
    [
        refusal(500),
        refused(503, 10001, "busy"),
        page(),
        document([]),
        Behaviour(cut_after=3),
        Behaviour(status=302, headers={"Location": "http://127.0.0.1:1/"}),
    ],
)
async def test_ill_service_is_tried_again_soon(
    cloudflare: Provider, purge: CloudflarePurge, answer: Behaviour
) -> None:
    cloudflare.serve(PATH, answer)
    trouble = await trouble_of(purge)
    assert 0 < trouble.retry_after <= 60
    assert "127.0.0.1" in str(trouble)


async def test_service_that_refuses_connections_is_tried_again_soon() -> None:
    trouble = await trouble_of(purge_at("http://127.0.0.1:1"))
    assert "not reachable" in str(trouble)
    assert trouble.retry_after <= 60


async def test_service_that_does_not_answer_is_given_up(
    cloudflare: Provider, purge: CloudflarePurge, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.cdn.cloudflare.TIMEOUT_SECONDS", 0.2)
    cloudflare.serve(PATH, Behaviour(hang=True))
    assert "not reachable" in str(await trouble_of(purge))


async def test_rate_limit_says_when_to_come_again(
    cloudflare: Provider, purge: CloudflarePurge
) -> None:
    cloudflare.serve(PATH, refused(429, 971, "rate limited", **{"Retry-After": "120"}))
    assert 119 < (await trouble_of(purge)).retry_after <= 120


async def test_service_in_trouble_is_left_alone_until_then(
    cloudflare: Provider, purge: CloudflarePurge
) -> None:
    cloudflare.serve(PATH, refusal(429, retry_after=1), PURGED)
    first = await trouble_of(purge)
    second = await trouble_of(purge, audio_urls(2))
    assert str(second) == str(first)
    assert second.retry_after <= first.retry_after
    assert len(cloudflare.requests()) == 1
    await asyncio.wait_for(purged_at_last(purge), 5)


async def purged_at_last(purge: CloudflarePurge) -> None:
    while True:
        try:
            return await purge.purge([AUDIO])
        except Busy as trouble:
            await asyncio.sleep(trouble.retry_after)


async def test_error_tells_no_secret_that_the_service_repeats(
    cloudflare: Provider, purge: CloudflarePurge
) -> None:
    cloudflare.serve(PATH, refused(400, 1, f"{TOKEN} and https://h.example/a?sig=hush-hush"))
    assert "sig" not in str(await trouble_of(purge))


async def test_callers_are_sent_away_for_different_times(cloudflare: Provider) -> None:
    spread = iter([0.0, 1.0])
    purge = CloudflarePurge(
        ZONE, TOKEN, api=cloudflare.url(""), gather_seconds=0.02, jitter=lambda: next(spread)
    )
    cloudflare.serve(PATH, refusal(429, retry_after=100))
    calls = (purge.purge([url]) for url in audio_urls(2))
    first, second = await asyncio.gather(*calls, return_exceptions=True)
    assert isinstance(first, Busy)
    assert isinstance(second, Busy)
    assert (round(first.retry_after), round(second.retry_after)) == (100, 125)


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> Callable[..., Any]:
    monkeypatch.chdir(tmp_path)
    return load_settings


async def test_settings_lead_to_the_zone(
    cloudflare: Provider, settings: Callable[..., Any]
) -> None:
    purge = cache_purge(
        settings(
            cloudflare_zone_id=ZONE,
            cloudflare_api_token=TOKEN,
            cloudflare_api_base=cloudflare.url("/"),
        )
    )
    await purge.purge([AUDIO])
    assert len(cloudflare.requests(PATH)) == 1


async def test_without_settings_nothing_is_purged(settings: Callable[..., Any]) -> None:
    purge = cache_purge(settings())
    assert purge is no_purge
    await purge.purge([AUDIO])
