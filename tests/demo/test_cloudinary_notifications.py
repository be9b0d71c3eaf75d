"""The notifications of the local Cloudinary."""

from __future__ import annotations

import hashlib
import time
from typing import Any

import cloudinary
import cloudinary.utils
import pytest

from tests.support.cloudinary_sdk import Sdk
from tests.support.wait import wait_until
from worker.demo.behaviour import document
from worker.demo.bodies import media
from worker.demo.cloudinary import LocalCloudinary, Notification
from worker.demo.provider import Provider

PNG = media("cover.png").content


@pytest.fixture
def hook(local: LocalCloudinary, provider: Provider) -> str:
    """Where the account sends its notifications; the provider's journal shows them."""
    local.notifications.url = provider.serve("/hook", document({"success": True}))
    return local.notifications.url


def test_an_upload_is_told_in_full(local: LocalCloudinary, sdk: Sdk) -> None:
    answer = sdk.upload(PNG, public_id="a/b", tags="x", context={"k": "v"})
    told = last(local)
    assert told["notification_type"] == "upload"
    same = answer.keys() - {"request_id"}
    assert {name: told[name] for name in same} == {name: answer[name] for name in same}
    assert told["notification_context"]["triggered_by"]["source"] == "api"
    assert told["timestamp"].endswith("+00:00")
    sdk.upload(PNG, public_id="a/b")
    assert last(local)["version"] > answer["version"]


def test_a_bulk_deletion_is_told_once(local: LocalCloudinary, sdk: Sdk) -> None:
    a, b = (local.account.add(name, resource_type="video") for name in "ab")
    sdk("delete_resources", ["a", "b", "gone"], resource_type="video")
    (notification,) = local.notifications.all
    assert notification.payload["resources"] == [
        {
            "resource_type": "video",
            "type": "upload",
            "asset_id": asset.asset_id,
            "public_id": asset.public_id,
            "version": asset.version,
        }
        for asset in (a, b)
    ]
    sdk("destroy", "a", resource_type="video")
    assert len(local.notifications.all) == 1


def test_a_rename_is_told_with_both_names(local: LocalCloudinary, sdk: Sdk) -> None:
    local.account.add("a")
    sdk("rename", "a", "b")
    told = last(local)
    assert told["notification_type"] == "rename"
    assert (told["from_public_id"], told["to_public_id"]) == ("a", "b")


def test_changed_tags_are_told_as_a_list(local: LocalCloudinary, sdk: Sdk) -> None:
    local.account.add("a", tags=["x", "y"])
    local.account.add("b")
    sdk("replace_tag", "y,z", ["a", "b"])
    told = last(local)
    assert told["notification_type"] == "resource_tags_changed"
    first, second = told["resources"]
    assert (first["public_id"], first["added"], first["removed"]) == ("a", ["z"], ["x"])
    assert (second["public_id"], second["added"], second["updated"]) == ("b", ["y", "z"], [])


def test_a_changed_context_is_told_by_public_id(local: LocalCloudinary, sdk: Sdk) -> None:
    local.account.add("a", context={"gone": "1", "same": "2", "changed": "3"})
    sdk("update", "a", context={"same": "2", "changed": "4", "new": "5"})
    told = last(local)
    assert told["notification_type"] == "resource_context_changed"
    difference = told["resources"]["a"]
    assert difference["added"] == [{"name": "new", "value": "5"}]
    assert difference["removed"] == [{"name": "gone", "value": "1"}]
    assert difference["updated"] == [{"name": "changed", "value": "4", "previous_value": "3"}]
    assert difference["resource_type"] == "image"


def test_changed_metadata_folder_and_name_are_told(local: LocalCloudinary, sdk: Sdk) -> None:
    local.account.add("a", asset_folder="old", display_name="Old")
    sdk("update_metadata", {"m": "1"}, ["a"])
    assert last(local)["notification_type"] == "resource_metadata_changed"
    sdk("update", "a", asset_folder="new", display_name="New")
    name, move = local.notifications.all[-2:]
    assert (name.kind, move.kind) == ("resource_display_name_changed", "move")
    assert name.payload["resources"]["a"]["new_display_name"] == "New"
    moved = move.payload["resources"]["a"]
    assert (moved["from_asset_folder"], moved["to_asset_folder"]) == ("old", "new")


def test_what_a_person_does_by_hand_is_told_as_such(local: LocalCloudinary) -> None:
    local.account.upload("a")
    local.account.change("a", tags=["x"], context={"k": "v"}, display_name="N", metadata={"m": 1})
    local.account.rename("a", "b")
    local.account.delete("b")
    kinds = [notification.kind for notification in local.notifications.all]
    assert kinds[:2] == ["upload", "resource_tags_changed"]
    assert kinds[-2:] == ["rename", "delete"] and len(kinds) == 7
    sources = {
        n.payload["notification_context"]["triggered_by"]["source"] for n in local.notifications.all
    }
    assert sources == {"ui"}


@pytest.mark.parametrize("algorithm", ["sha1", "sha256"])
def test_the_signature_is_one_that_the_sdk_takes(
    algorithm: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with LocalCloudinary(algorithm=algorithm) as local:
        monkeypatch.setattr(cloudinary.config(), "api_secret", local.api_secret)
        local.account.upload("ü")
        (right,) = local.notifications.all
        wrong = local.notifications.sign(right.payload, secret="another")
        old = local.notifications.sign(right.payload, at=time.time() - 7300)
    taken = [accepted(n, algorithm) for n in (right, right.tampered(), wrong, old)]
    assert taken == [True, False, False, False]


def test_a_signature_is_the_hash_of_body_timestamp_and_secret(local: LocalCloudinary) -> None:
    signed = local.notifications.sign(b'{"notification_type": "new"}', at=1549533514)
    text = b'{"notification_type": "new"}1549533514' + local.api_secret.encode()
    assert signed.headers["X-Cld-Signature"] == hashlib.sha1(text).hexdigest()
    assert signed.headers["X-Cld-Timestamp"] == "1549533514"
    assert local.notifications.sign(b"not JSON at all").body == b"not JSON at all"


def test_notifications_are_posted_in_order(
    local: LocalCloudinary, provider: Provider, hook: str
) -> None:
    for name in "abc":
        local.account.upload(name)
    wait_until(lambda: len(local.notifications.deliveries) == 3)
    sent = local.notifications.all
    assert [request.body for request in provider.requests("/hook")] == [n.body for n in sent]
    for request, notification in zip(provider.requests("/hook"), sent, strict=True):
        assert request.method == "POST"
        assert request.headers["x-cld-signature"] == notification.headers["X-Cld-Signature"]
        assert request.headers["x-cld-timestamp"] == notification.headers["X-Cld-Timestamp"]
    assert [delivery.status for delivery in local.notifications.deliveries] == [200] * 3


def test_a_call_may_name_where_it_is_told(
    local: LocalCloudinary, sdk: Sdk, provider: Provider
) -> None:
    url = provider.serve("/own", document({}))
    sdk.upload(PNG, public_id="a", notification_url=url)
    sdk("add_tag", "x", ["a"], notification_url=url)
    sdk("update", "a", tags="y")
    wait_until(lambda: len(provider.requests("/own")) == 2)
    assert len(local.notifications.all) == 3


def test_notifications_may_be_held_and_sent_in_another_order(
    local: LocalCloudinary, provider: Provider, hook: str
) -> None:
    local.notifications.hold()
    for name in "abc":
        local.account.upload(name)
    held = local.notifications.held()
    assert len(held) == 3 and provider.requests("/hook") == []
    local.notifications.release(order=[2, 0, 0])
    wait_until(lambda: len(provider.requests("/hook")) == 3)
    bodies = [request.body for request in provider.requests("/hook")]
    assert bodies == [held[2].body, held[0].body, held[0].body]
    local.account.upload("d")
    wait_until(lambda: len(provider.requests("/hook")) == 4)


def test_one_may_be_posted_by_hand(local: LocalCloudinary, provider: Provider, hook: str) -> None:
    payload = {"notification_type": "from_the_future", "resources": [{}]}
    signed = local.notifications.sign(payload, at=time.time() + 1000)
    assert local.notifications.post(signed) == 200
    (request,) = provider.requests("/hook")
    assert request.body == signed.body
    assert (
        signed.digest
        == hashlib.sha256(
            signed.body + b"\n" + signed.headers["X-Cld-Timestamp"].encode()
        ).hexdigest()
    )


def test_a_receiver_that_is_not_there_does_no_harm(local: LocalCloudinary) -> None:
    local.notifications.url = "http://127.0.0.1:9/hook"
    local.account.upload("a")
    wait_until(lambda: local.notifications.deliveries)
    assert local.notifications.deliveries[0].status is None
    local.notifications.url = "http://192.0.2.1/hook"
    local.account.upload("b")
    wait_until(lambda: len(local.notifications.deliveries) == 2)


def last(local: LocalCloudinary) -> dict[str, Any]:
    return local.notifications.all[-1].payload


def accepted(notification: Notification, algorithm: str) -> bool:
    return cloudinary.utils.verify_notification_signature(
        notification.body.decode(),
        int(notification.headers["X-Cld-Timestamp"]),
        notification.headers["X-Cld-Signature"],
        algorithm=algorithm,
    )
