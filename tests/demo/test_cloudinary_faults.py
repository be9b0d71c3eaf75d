"""The local Cloudinary's faults, rate limit, record of calls and journal."""

from __future__ import annotations

import threading
import time
from email.utils import parsedate_to_datetime
from typing import Any

import cloudinary.exceptions
import httpx
import pytest

from tests.support.cloudinary_sdk import Sdk
from tests.support.wait import wait_until
from worker.demo.cloudinary import LocalCloudinary


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, cloudinary.exceptions.BadRequest),
        (401, cloudinary.exceptions.AuthorizationRequired),
        (403, cloudinary.exceptions.NotAllowed),
        (404, cloudinary.exceptions.NotFound),
        (409, cloudinary.exceptions.AlreadyExists),
        (420, cloudinary.exceptions.RateLimited),
        (429, cloudinary.exceptions.RateLimited),
        (500, cloudinary.exceptions.GeneralError),
    ],
)
def test_the_next_calls_of_a_kind_get_a_status(
    local: LocalCloudinary, sdk: Sdk, status: int, error: type[Exception]
) -> None:
    local.faults.answer("delete", status, times=2)
    local.account.add("a")
    for _ in range(2):
        with pytest.raises(error):
            sdk("delete_resources", ["a"])
    assert local.account.get("a") is not None
    assert sdk("ping")["status"] == "ok"
    assert sdk("delete_resources", ["a"])["deleted"] == {"a": "deleted"}
    assert [call.status for call in local.calls.of("delete")] == [status, status, 200]


def test_faults_strike_one_after_the_other(local: LocalCloudinary, sdk: Sdk) -> None:
    local.faults.answer("ping", 500)
    local.faults.answer("ping", 420)
    with pytest.raises(cloudinary.exceptions.GeneralError):
        sdk("ping")
    with pytest.raises(cloudinary.exceptions.RateLimited):
        sdk("ping")
    assert sdk("ping")["status"] == "ok"


def test_one_page_of_a_listing_fails(local: LocalCloudinary, sdk: Sdk) -> None:
    for number in range(30):
        local.account.add(f"n/{number}")
    local.faults.answer("list", 500, skip=1)
    first = sdk("resources")
    with pytest.raises(cloudinary.exceptions.GeneralError):
        sdk("resources", next_cursor=first["next_cursor"])
    second = sdk("resources", next_cursor=first["next_cursor"])
    assert second["resources"][0]["public_id"] == "n/19"


def test_an_effect_may_happen_and_the_answer_be_an_error(local: LocalCloudinary, sdk: Sdk) -> None:
    local.account.add("a")
    local.faults.answer("destroy", 500, after_effect=True)
    with pytest.raises(cloudinary.exceptions.GeneralError):
        sdk("destroy", "a")
    assert sdk("destroy", "a")["result"] == "not found"
    assert len(local.account.journal.of("delete")) == 1


@pytest.mark.parametrize("after_effect", [False, True])
def test_a_connection_is_cut(local: LocalCloudinary, sdk: Sdk, after_effect: bool) -> None:
    local.account.add("a")
    local.faults.cut("destroy", after_effect=after_effect)
    with pytest.raises(cloudinary.exceptions.Error, match="Unexpected error"):
        sdk("destroy", "a")
    assert (local.account.get("a") is None) == after_effect
    assert local.calls.of("destroy")[0].status is None


def test_an_answer_may_be_slow_or_never_come(local: LocalCloudinary, sdk: Sdk) -> None:
    local.faults.slow("ping", 0.2)
    started = time.monotonic()
    assert sdk("ping")["status"] == "ok"
    assert time.monotonic() - started >= 0.2
    local.faults.hang("upload")
    with pytest.raises(cloudinary.exceptions.Error, match="timed out"):
        sdk.upload(b"text", resource_type="raw", timeout=0.1)
    assert len(local.account) == 0


def test_a_call_is_held_until_it_is_released(local: LocalCloudinary, sdk: Sdk) -> None:
    local.account.add("a")
    hold = local.faults.hold("delete", where=lambda call: "a" in call.params.entries("public_ids"))
    answers: list[Any] = []
    thread = threading.Thread(target=lambda: answers.append(sdk("delete_resources", ["a"])))
    thread.start()
    assert hold.reached.wait(5)
    assert sdk("delete_resources", ["b"])["deleted"] == {"b": "not_found"}
    before = time.time()
    assert local.account.get("a") is not None
    hold.release()
    thread.join(5)
    assert answers[0]["deleted"] == {"a": "deleted"}
    (effect,) = local.account.journal.of("delete")
    assert effect.asked_at < before < effect.at


def test_a_fault_may_concern_an_api_or_everything(local: LocalCloudinary, sdk: Sdk) -> None:
    local.faults.answer("admin", 503)
    assert sdk("destroy", "a")["result"] == "not found"
    with pytest.raises(cloudinary.exceptions.GeneralError):
        sdk("ping")
    local.faults.answer("*", 500, times=1000)
    with pytest.raises(cloudinary.exceptions.GeneralError):
        sdk("destroy", "a")
    local.faults.clear()
    assert sdk("ping")["status"] == "ok"


def test_the_budget_is_in_every_admin_answer(local: LocalCloudinary, sdk: Sdk) -> None:
    local.faults.limit(500)
    answer = sdk("ping")
    assert (answer.rate_limit_allowed, answer.rate_limit_remaining) == (500, 499)
    raw = httpx.get(
        f"{local.url}/v1_1/{local.cloud_name}/resources/image/upload/gone",
        auth=(local.api_key, local.api_secret),
        trust_env=False,
    )
    assert raw.status_code == 404
    assert raw.headers["x-featureratelimit-remaining"] == "498"
    reset = parsedate_to_datetime(raw.headers["x-featureratelimit-reset"]).timestamp()
    assert reset == local.budget.reset_at
    assert raw.headers["x-featureratelimit-reset"].endswith(" GMT")
    assert 3590 < reset - time.time() < 3602


def test_bulk_deletion_costs_one_call_and_destroy_none(local: LocalCloudinary, sdk: Sdk) -> None:
    local.faults.limit(10)
    sdk("delete_resources", [str(number) for number in range(100)])
    assert local.budget.remaining == 9
    for _ in range(3):
        sdk("destroy", "a")
    assert local.budget.remaining == 9


@pytest.mark.parametrize("status", [420, 429])
def test_beyond_the_budget_calls_are_refused_until_it_is_reset(status: int) -> None:
    later = [0.0]
    with LocalCloudinary(clock=lambda: time.time() + later[0]) as local:
        sdk = Sdk(local)
        local.account.add("a")
        local.faults.limit(2, period=60, status=status)
        for _ in range(2):
            sdk("ping")
        with pytest.raises(cloudinary.exceptions.RateLimited, match="Rate Limit Exceeded"):
            sdk("delete_resources", ["a"])
        assert local.account.get("a") is not None
        assert local.budget.remaining == 0
        later[0] = 62
        assert sdk("delete_resources", ["a"])["deleted"] == {"a": "deleted"}
        assert local.budget.remaining == 1


def test_a_refusal_may_name_its_own_reset(local: LocalCloudinary) -> None:
    local.faults.answer("ping", 429, reset_in=30)
    raw = httpx.get(
        f"{local.url}/v1_1/{local.cloud_name}/ping",
        auth=(local.api_key, local.api_secret),
        trust_env=False,
    )
    reset = parsedate_to_datetime(raw.headers["x-featureratelimit-reset"]).timestamp()
    assert raw.status_code == 429
    assert raw.headers["x-featureratelimit-remaining"] == "0"
    assert 28 < reset - time.time() <= 31


def test_cursors_may_expire(local: LocalCloudinary, sdk: Sdk) -> None:
    for number in range(20):
        local.account.add(f"n/{number}")
    cursor = sdk("resources")["next_cursor"]
    local.faults.expire_cursors()
    with pytest.raises(cloudinary.exceptions.BadRequest, match="next_cursor"):
        sdk("resources", next_cursor=cursor)
    assert len(sdk.everything()) == 20


def test_the_journal_tells_who_did_what_to_which_version(local: LocalCloudinary, sdk: Sdk) -> None:
    started = time.time()
    local.account.add("there")
    uploaded = sdk.upload(b"text", public_id="a", resource_type="raw")
    sdk("add_tag", "x", ["a"], resource_type="raw")
    local.account.rename("a", "b", resource_type="raw")
    sdk("delete_resources", ["b", "gone"], resource_type="raw")
    journal = list(local.account.journal)
    assert [(e.kind, e.call) for e in journal] == [
        ("upload", "upload"),
        ("tags", "tags"),
        ("rename", "console"),
        ("delete", "delete"),
    ]
    assert {effect.asset.asset_id for effect in journal} == {uploaded["asset_id"]}
    assert {effect.version for effect in journal} == {uploaded["version"]}
    assert [effect.number for effect in journal] == [1, 2, 3, 4]
    times = [moment for e in journal for moment in (e.asked_at, e.at)]
    assert started <= times[0] and times == sorted(times) and times[-1] <= time.time()
    renamed, deleted = journal[2], journal[3]
    assert renamed.before and renamed.after
    assert (renamed.before.public_id, renamed.after.public_id) == ("a", "b")
    assert deleted.after is None and deleted.public_id == "b"
    assert deleted.asset.tags == ("x",)


def test_what_changes_nothing_is_no_effect(local: LocalCloudinary, sdk: Sdk) -> None:
    local.account.add("a", tags=["x"])
    sdk("add_tag", "x", ["a"])
    sdk("update", "a", tags=["x"])
    assert len(local.account.journal) == 0
    assert "last_updated" not in sdk("resource", "a")


def test_a_reset_forgets_everything(local: LocalCloudinary, sdk: Sdk) -> None:
    sdk.upload(b"text", resource_type="raw")
    local.faults.answer("*", 500)
    local.reset()
    assert sdk("ping")["status"] == "ok"
    assert (len(local.account), len(local.account.journal), len(local.calls)) == (0, 0, 1)
    assert local.notifications.all == []


def test_stopping_ends_what_waits() -> None:
    with LocalCloudinary() as local:
        hold = local.faults.hold("upload")
        local.faults.hang("upload")
        failures: list[Exception] = []

        def upload() -> None:
            try:
                Sdk(local).upload(b"text", resource_type="raw")
            except cloudinary.exceptions.Error as error:
                failures.append(error)

        threads = [threading.Thread(target=upload) for _ in range(2)]
        for thread in threads:
            thread.start()
        assert hold.reached.wait(5)
        wait_until(lambda: local.calls["upload"] == 2)
    for thread in threads:
        thread.join(5)
    assert len(failures) == 2
    local.stop()
