"""Cloudinary to database: notifications."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.sync.site import Site
from worker.demo.cloudinary import Notification
from worker.sync.webhooks import LARGEST_BODY, NotAccepted, verify

SECRET = "X7qLTrsES31MzxxkxPPA-pAGGfU"
SENT = 1549533514
APPLIED = "select bool_and(status = 'completed') from media_webhook_events"


def apply(site: Site, *notifications: Notification) -> list[str]:
    """Take them in, let a worker apply them, and return what came of each."""
    taken = site.receive(*notifications)
    site.work()
    return [site.event(id_)["outcome"] for id_ in taken if id_]


def test_what_happens_at_cloudinary_reaches_the_table(site: Site) -> None:
    account, told = site.cloudinary.account, site.cloudinary.notifications
    account.upload("a", tags=["x"], context={"k": "v"})
    account.upload("b")
    account.upload("gone")
    assert apply(site, *told.all) == ["applied"] * 3
    site.assert_mirrored()
    told.clear()
    account.change("a", tags=["y"], context={"k": "w"}, display_name="A", asset_folder="f")
    account.rename("b", "c")
    account.delete("gone")
    outcomes = apply(site, *told.all)
    # whichever comes first brings all that has changed in its asset
    assert len(outcomes) == 6 and set(outcomes) <= {"applied", "unchanged"}
    site.assert_mirrored()
    assert (site.row("a")["display_name"], site.row("a")["folder"]) == ("A", "f")
    assert [line["operation"] for line in site.log("c")] == ["rename"]
    assert {line["source"] for line in site.log()} == {"webhook"}
    assert site.sql("select * from media_worker.asset_pushes") == []


def test_a_burst_is_applied_with_few_looks(site: Site) -> None:
    for number in range(120):
        site.cloudinary.account.upload(f"a{number}")
    site.receive(*site.cloudinary.notifications.all)
    site.work()
    assert len(site.rows()) == 120
    assert site.cloudinary.calls.admin <= 10


def test_what_was_changed_here_does_not_bounce(site: Site) -> None:
    site.cloudinary.account.add("a", tags=["old"])
    site.sync()
    lines = len(site.log())
    site.sql("update media_assets set tags = '{new}'")
    site.work()
    pushed = site.sql("select status, updated_at from media_worker.asset_pushes")
    (echo,) = site.cloudinary.notifications.all
    calls = site.cloudinary.calls.admin
    assert apply(site, echo) == ["unchanged"]
    assert site.cloudinary.calls.admin == calls
    assert len(site.log()) == lines + 1
    assert site.sql("select status, updated_at from media_worker.asset_pushes") == pushed


def test_what_was_changed_there_does_not_bounce(site: Site) -> None:
    site.cloudinary.account.add("a", tags=["old"])
    site.sync()
    lines = len(site.log())
    site.cloudinary.account.change("a", tags=["new"])
    apply(site, *site.cloudinary.notifications.all)
    assert site.row("a")["tags"] == ["new"]
    assert len(site.log()) == lines + 1
    assert site.sql("select * from media_worker.asset_pushes") == []
    assert site.cloudinary.calls["update"] == 0


def test_notifications_may_come_in_any_order(site: Site) -> None:
    account, told = site.cloudinary.account, site.cloudinary.notifications
    account.upload("a")
    for tag in ("1", "2", "3"):
        account.change("a", tags=[tag])
    account.rename("a", "b")
    account.upload("c")
    account.delete("c")
    for notification in reversed(told.all):
        apply(site, notification)
    site.assert_mirrored()
    assert site.row("b")["tags"] == ["3"]


def test_a_late_notification_does_not_bring_a_deleted_asset_back(site: Site) -> None:
    account, told = site.cloudinary.account, site.cloudinary.notifications
    account.upload("a")
    (upload,) = told.all
    site.sync()
    site.sql("delete from media_assets")
    assert apply(site, upload) == ["applied"]  # while the deletion is open: nothing
    assert site.rows() == {}
    site.work()
    assert len(account) == 0
    late = told.sign(upload.payload)
    apply(site, told.sign({**late.payload, "later": True}))
    assert site.rows() == {}


def test_unknown_types_are_put_aside(site: Site) -> None:
    payloads: list[dict[str, Any]] = [
        {"notification_type": "moderation", "public_id": "a"},
        {"notification_type": "eager", "resources": 7},
        {"public_id": "a"},
        {"notification_type": ["upload"]},
    ]
    sign = site.cloudinary.notifications.sign
    assert apply(site, *map(sign, payloads)) == ["unknown"] * 4
    told = [(line["operation"], line["status"]) for line in site.log()]
    assert told == [("webhook", "skipped")] * 4


def test_one_that_fails_harms_none_of_the_others(site: Site) -> None:
    for name in ("a", "b"):
        site.cloudinary.account.upload(name)
    strange = [
        {"notification_type": "upload", "public_id": "c", "type": "no_such_type"},
        {"notification_type": "resource_context_changed",
         "resources": {"a": {"added": [{"name": ["x"]}]}}},
    ]  # fmt: skip
    signed = map(site.cloudinary.notifications.sign, strange)
    ids = site.receive(*signed, *site.cloudinary.notifications.all)
    site.sql("delete from procrastinate.procrastinate_jobs")  # the reconciler wakes them together
    site.work()
    assert [site.event(id_)["status"] for id_ in ids] == ["failed"] + ["completed"] * 3
    assert set(site.rows()) == {"a", "b"}


def test_strange_fields_do_no_harm(site: Site) -> None:
    payloads: list[dict[str, Any]] = [
        {"notification_type": "resource_tags_changed", "resources": {"a": {"added": None}}},
        {"notification_type": "resource_tags_changed", "resources": [{"public_id": "a", "n": 1}]},
        {"notification_type": "resource_context_changed", "resources": [{"public_id": "a"}]},
        {"notification_type": "resource_context_changed", "resources": {"a": {"added": 3}}},
        {"notification_type": "rename", "from_public_id": "z", "to_public_id": "a"},
        {"notification_type": "move", "resources": [3, None, {"public_id": 4}]},
        {"notification_type": "delete"},
        {"notification_type": "upload", "public_id": "a", "version": "x", "tags": 3},
        {"notification_type": "upload", "public_id": "a", "resource_type": "?", "type": "%"},
    ]
    site.cloudinary.account.add("a", tags=["x"])
    site.sync()
    for payload in payloads:
        site.receive(site.cloudinary.notifications.sign(payload))
    site.start()
    site.wait_for("select bool_and(status in ('completed', 'failed')) from media_webhook_events")
    outcomes = {row["outcome"] for row in site.sql("select outcome from media_webhook_events")}
    assert outcomes <= {"applied", "unchanged", "unknown"}
    site.assert_mirrored()


def test_a_replay_is_refused_and_logged(site: Site) -> None:
    site.cloudinary.account.upload("a")
    (upload,) = site.cloudinary.notifications.all
    first, second = site.receive(upload, upload)
    assert first is not None and second is None
    (line,) = site.log()
    assert (line["operation"], line["status"], line["source"]) == ("webhook", "skipped", "webhook")


def test_what_is_not_accepted_is_logged(site: Site) -> None:
    site.cloudinary.account.upload("a")
    (upload,) = site.cloudinary.notifications.all
    with pytest.raises(NotAccepted):
        site.receive(upload.tampered())
    (line,) = site.log()
    assert (line["operation"], line["status"]) == ("webhook", "error")
    assert site.sql("select * from media_webhook_events") == []


def test_a_flood_does_not_fill_the_log(site: Site) -> None:
    for _ in range(120):
        site.sql("select media_worker.webhook_refused('no')")
    assert len(site.log()) == 100


# Verification ---------------------------------------------------------------------------------


def check(body: bytes = b"{}", *, at: float = SENT, sent: Any = SENT, **more: Any) -> Any:
    import hashlib

    digest = more.pop("digest", hashlib.sha1)
    signature = digest(body + str(sent).encode() + SECRET.encode()).hexdigest()
    given = {"timestamp": str(sent), "signature": signature, "secret": SECRET, **more}
    return verify(body, clock=lambda: at, **given)


def test_the_documented_vector_is_accepted() -> None:
    body = (
        b'{"notification_type":"eager","eager":[{"transformation":"sp_full_hd/mp4"}],'
        b'"public_id":"dog"}'
    )
    assert check(body).kind == "eager"


@pytest.mark.parametrize("name", ["sha1", "sha256"])
def test_both_algorithms_are_accepted(name: str) -> None:
    import hashlib

    assert check(digest=getattr(hashlib, name)).sent_at.timestamp() == SENT


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"at": SENT + 299}, None),
        ({"at": SENT + 301}, 401),
        ({"at": SENT + 301, "max_age": 400.0}, None),
        ({"at": SENT - 4}, None),
        ({"at": SENT - 60}, 401),
        ({"signature": "0" * 40}, 401),
        ({"signature": "0" * 64}, 401),
        ({"signature": ""}, 401),
        ({"signature": None}, 401),
        ({"signature": "é" * 40}, 401),
        ({"timestamp": None}, 401),
        ({"timestamp": "1e9"}, 401),
        ({"timestamp": "٣" * 10}, 401),
        ({"timestamp": "9" * 400}, 401),
        ({"secret": "another"}, 401),
        ({"body": b"[]"}, 400),
        ({"body": b"\xff{}"}, 400),
        ({"body": b"[" * 100_000}, 400),
        ({"body": b'"' + b"x" * LARGEST_BODY + b'"'}, 413),
    ],
)
def test_everything_else_is_refused(changes: dict[str, Any], status: int | None) -> None:
    if status is None:
        check(**changes)
        return
    with pytest.raises(NotAccepted) as refusal:
        check(**changes)
    assert refusal.value.status == status
    assert SECRET not in str(refusal.value)


def test_a_flipped_bit_is_noticed() -> None:
    body = json.dumps({"notification_type": "upload"}).encode()
    import hashlib

    signature = hashlib.sha1(body + str(SENT).encode() + SECRET.encode()).hexdigest()
    for place in range(len(body)):
        flipped = body[:place] + bytes([body[place] ^ 1]) + body[place + 1 :]
        with pytest.raises(NotAccepted):
            check(flipped, signature=signature)
