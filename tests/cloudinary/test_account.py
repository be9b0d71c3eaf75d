"""Calls of the Admin API: what they answer, what they mean, and what they cost."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress

import pytest

from tests.cloudinary.conftest import Site
from tests.support.wait import wait_until_async
from worker.cloudinary import Keep, Limited, NoAccess, NotFound, Refused
from worker.cloudinary.answers import limit_of
from worker.demo.cloudinary import LocalCloudinary
from worker.errors import Outage


async def test_a_call_answers(site: Site) -> None:
    assert (await site.account.call("GET", ["ping"], {}))["status"] == "ok"


@pytest.mark.parametrize(
    ("status", "error"),
    [(400, Refused), (404, NotFound), (409, Refused), (401, NoAccess), (403, NoAccess),
     (500, Outage), (502, Outage), (503, Outage), (420, Limited), (429, Limited)],
)  # fmt: skip
async def test_every_status_has_its_meaning(
    site: Site, status: int, error: type[Exception]
) -> None:
    site.local.faults.answer("ping", status)
    with pytest.raises(error) as raised:
        await site.account.call("GET", ["ping"], {})
    assert site.local.api_secret not in str(raised.value)


async def test_a_server_that_is_away_is_an_outage(site: Site, local: LocalCloudinary) -> None:
    local.stop()
    with pytest.raises(Outage, match="cannot be reached") as raised:
        await site.account.call("GET", ["ping"], {})
    assert raised.value.service == "cloudinary"


async def test_a_cut_question_is_asked_once_more(site: Site) -> None:
    site.local.faults.cut("ping")
    await site.account.call("GET", ["ping"], {})
    assert site.local.calls["ping"] == 2


async def test_a_cut_deletion_is_not_sent_again(site: Site) -> None:
    site.local.account.add("cat")
    site.local.faults.cut("delete", after_effect=True, times=5)
    with pytest.raises(Outage):
        await site.account.call("DELETE", ["resources", "image", "upload"], {"public_ids": ["cat"]})
    assert site.local.calls["delete"] == 1


async def test_the_budget_follows_the_answers(site: Site) -> None:
    site.local.faults.limit(5)
    await site.account.call("GET", ["ping"], {})
    assert await site.remaining() == 4
    await asyncio.gather(*(site.account.call("GET", ["ping"], {}) for _ in range(4)))
    assert await site.remaining() == 0
    with pytest.raises(Limited) as raised:
        await site.account.call("GET", ["ping"], {})
    assert site.local.calls.admin == 5
    assert 3500 < raised.value.retry_after < 3610


async def test_after_the_reset_there_are_calls_again(site: Site) -> None:
    site.local.faults.limit(1, period=1.0)
    await site.account.call("GET", ["ping"], {})
    with pytest.raises(Limited) as raised:
        await site.account.call("GET", ["ping"], {})
    assert raised.value.retry_after <= 3.0
    rows = await site.database.call(
        "select extract(epoch from reset_at)::float8 as at from media_worker.api_budgets"
    )
    await wait_until_async(lambda: time.time() >= rows[0]["at"])
    await site.account.call("GET", ["ping"], {})
    assert site.local.calls.admin == 2


async def test_a_refusal_by_the_limit_is_remembered_for_all(site: Site) -> None:
    site.local.faults.answer("ping", 429, reset_in=1000)
    with pytest.raises(Limited):
        await site.account.call("GET", ["ping"], {})
    with pytest.raises(Limited) as raised:
        await site.account.call("GET", ["ping"], {})
    assert site.local.calls.admin == 1
    assert 990 < raised.value.retry_after < 1010


async def test_a_share_is_kept_for_deletions(site: Site) -> None:
    site.local.faults.limit(10)
    done = 0
    with pytest.raises(Limited):
        while True:
            await site.account.call("GET", ["ping"], {}, keep=Keep.DELETIONS)
            done += 1
    assert done == 8
    await site.account.call("GET", ["ping"], {})


async def test_answers_that_overtake_each_other_do_not_raise_the_budget(site: Site) -> None:
    note = "select media_worker.note_api_budget('a', 500, %s, '2100-01-01')"
    for remaining in (10, 8, 9):
        await site.database.call(note, [remaining])
    rows = await site.database.call("select remaining from media_worker.api_budgets")
    assert rows == [{"remaining": 8}]


@pytest.mark.parametrize(
    "headers",
    [{}, {"X-FeatureRateLimit-Limit": "x", "X-FeatureRateLimit-Remaining": "1",
          "X-FeatureRateLimit-Reset": "soon"}],
)  # fmt: skip
def test_headers_that_say_nothing_of_a_limit_are_passed_over(headers: dict[str, str]) -> None:
    assert limit_of(headers) is None


async def test_each_period_of_the_limit_is_said_once(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    async def ask(*keeps: Keep) -> list[str]:
        caplog.clear()
        for keep in keeps:
            with suppress(Limited):
                await site.account.call("GET", ["ping"], {}, keep=keep)
        return [record.levelname for record in caplog.records]

    caplog.set_level("WARNING", logger="worker.cloudinary.limits")
    site.local.faults.limit(0, period=1.0)
    assert await ask(Keep.NOTHING, Keep.NOTHING) == ["WARNING"]
    assert await ask(Keep.NOTHING) == []
    assert await ask(Keep.DELETIONS, Keep.DELETIONS) == ["WARNING"]

    async def is_said_again() -> bool:
        return await ask(Keep.NOTHING) == ["WARNING"]

    await wait_until_async(is_said_again, timeout=10)
