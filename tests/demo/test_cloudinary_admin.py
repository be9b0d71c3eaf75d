"""The local Cloudinary's Admin API, driven by the official SDK."""

from __future__ import annotations

import threading
import tracemalloc
from datetime import UTC, datetime, timedelta

import cloudinary.exceptions
import httpx
import pytest

from tests.support.cloudinary_sdk import Sdk
from worker.demo.cloudinary import LocalCloudinary


def test_ping_and_usage_answer(local: LocalCloudinary, sdk: Sdk) -> None:
    local.account.add("a")
    assert sdk("ping") == {"status": "ok"}
    assert sdk("usage")["resources"] == 1
    assert sdk("resource_types")["resource_types"] == ["image", "video", "raw"]


@pytest.mark.parametrize(
    "changes", [{"api_secret": "wrong"}, {"api_key": "x"}, {"cloud_name": "x"}]
)
def test_wrong_credentials_are_refused(local: LocalCloudinary, changes: dict[str, str]) -> None:
    with pytest.raises(cloudinary.exceptions.AuthorizationRequired):
        Sdk(local, **changes)("ping")


def test_a_listing_has_ten_a_page_the_newest_first(local: LocalCloudinary, sdk: Sdk) -> None:
    for number in range(25):
        local.account.add(f"n{number:02}")
    page = sdk("resources")
    assert [asset["public_id"] for asset in page["resources"]][:2] == ["n24", "n23"]
    assert len(page["resources"]) == 10
    everything = sdk.everything()
    assert [asset["public_id"] for asset in everything] == [f"n{n:02}" for n in range(24, -1, -1)]
    assert sdk.everything(direction="asc", max_results=7) == everything[::-1]
    assert "next_cursor" not in sdk("resources", max_results=25)


@pytest.mark.parametrize("size", [0, 501])
def test_a_page_holds_500_at_most(sdk: Sdk, size: int) -> None:
    with pytest.raises(cloudinary.exceptions.BadRequest, match="max_results"):
        sdk("resources", max_results=str(size))


def test_a_cursor_that_was_not_given_out_is_refused(sdk: Sdk) -> None:
    with pytest.raises(cloudinary.exceptions.BadRequest, match="next_cursor"):
        sdk("resources", next_cursor="0123456789abcdef")


def test_what_comes_and_goes_between_pages_shifts_nobody_else(
    local: LocalCloudinary, sdk: Sdk
) -> None:
    for number in range(20):
        local.account.add(f"n{number:02}")
    first = sdk("resources")
    local.account.delete("n19", "n10", "n09")
    local.account.upload("new")
    second = sdk("resources", next_cursor=first["next_cursor"])
    assert [a["public_id"] for a in second["resources"]] == [f"n0{n}" for n in range(8, -1, -1)]


def test_resource_types_and_types_are_kept_apart(local: LocalCloudinary, sdk: Sdk) -> None:
    for resource_type in ("image", "video", "raw"):
        for type in ("upload", "private", "authenticated"):
            local.account.add("same", resource_type=resource_type, type=type)
    assert len(local.account) == 9
    for resource_type in ("image", "video", "raw"):
        assert len(sdk.everything(resource_type=resource_type)) == 3
        (found,) = sdk.everything(resource_type=resource_type, type="private")
        assert (found["resource_type"], found["type"]) == (resource_type, "private")
    sdk("delete_resources", ["same"], resource_type="video", type="private")
    assert local.account.get("same", resource_type="video", type="private") is None
    assert len(local.account) == 8


def test_tags_and_context_come_only_when_asked_for(local: LocalCloudinary, sdk: Sdk) -> None:
    local.account.add("a", tags=["x"], context={"k": "v"}, metadata={"m": "1"})
    (plain,) = sdk.everything()
    assert not {"tags", "context", "metadata", "last_updated"} & plain.keys()
    (full,) = sdk.everything(tags=True, context=True, metadata=True)
    assert (full["tags"], full["context"]) == (["x"], {"custom": {"k": "v"}})
    assert full["metadata"] == {"m": "1"}
    (some,) = sdk.everything(fields=["tags", "version"])
    assert some.keys() == {"asset_id", "public_id", "tags", "version"}


def test_an_asset_without_context_has_no_such_entry(local: LocalCloudinary, sdk: Sdk) -> None:
    local.account.add("a")
    (found,) = sdk.everything(tags=True, context=True)
    assert found["tags"] == [] and "context" not in found


def test_a_listing_may_be_narrowed(local: LocalCloudinary, sdk: Sdk) -> None:
    old = datetime.now(UTC) - timedelta(days=2)
    local.account.add("x/2", tags=["red one"], context={"k": "v"}, created_at=old)
    local.account.add("x/1")
    local.account.add("y", tags=["blue"], context={"k": "w"})
    assert _names(sdk("resources", type="upload", prefix="x/")) == ["x/1", "x/2"]
    assert _names(sdk("resources_by_tag", "red one")) == ["x/2"]
    assert _names(sdk("resources_by_context", "k")) == ["y", "x/2"]
    assert _names(sdk("resources_by_context", "k", "w")) == ["y"]
    assert _names(sdk("resources_by_asset_folder", "x")) == ["x/1", "x/2"]
    since = (old + timedelta(days=1)).strftime("%Y-%m-%d %H:%M:%S UTC")
    assert _names(sdk("resources", start_at=since)) == ["y", "x/1"]
    assert sdk("tags")["tags"] == ["blue", "red one"]


def test_pages_by_prefix_go_on_where_they_stopped(local: LocalCloudinary, sdk: Sdk) -> None:
    for number in (3, 1, 2, 5, 4):
        local.account.add(f"p/{number}")
        local.account.add(f"p/{number}", type="private")
    found = sdk.everything(prefix="p/", max_results=3)
    assert [asset["public_id"] for asset in found] == [f"p/{n // 2}" for n in range(2, 12)]


def test_assets_are_found_by_their_ids(local: LocalCloudinary, sdk: Sdk) -> None:
    first, second = local.account.add("a", tags=["x"]), local.account.add("b")
    by_name = sdk("resources_by_ids", ["b", "gone", "a"], tags=True)
    assert _names(by_name) == ["b", "a"]
    by_id = sdk("resources_by_asset_ids", [second.asset_id, "0" * 32])
    assert _names(by_id) == ["b"]
    assert sdk("resource_by_asset_id", first.asset_id)["public_id"] == "a"
    with pytest.raises(cloudinary.exceptions.BadRequest, match="at most 100"):
        sdk("resources_by_ids", [f"n{number}" for number in range(101)])


@pytest.mark.parametrize("public_id", ["a/b/c", "with space", "ü/ß", "plus+and,comma", "a.b"])
def test_a_single_asset_tells_more(local: LocalCloudinary, sdk: Sdk, public_id: str) -> None:
    asset = local.account.add(public_id, tags=["x"], context={"k": "v"})
    found = sdk("resource", public_id)
    assert (found["public_id"], found["asset_id"]) == (public_id, asset.asset_id)
    assert (found["tags"], found["context"]) == (["x"], {"custom": {"k": "v"}})
    assert (found["etag"], found["derived"]) == (asset.media.etag, [])
    with pytest.raises(cloudinary.exceptions.NotFound, match="Resource not found"):
        sdk("resource", public_id, resource_type="video")


def test_an_update_changes_what_is_given_and_says_when(local: LocalCloudinary, sdk: Sdk) -> None:
    local.account.add("a/b", tags=["x"], context={"k": "v"})
    answer = sdk("update", "a/b", tags=["y", "z"], display_name="Name", asset_folder="f")
    assert (answer["tags"], answer["display_name"]) == (["y", "z"], "Name")
    assert answer["context"] == {"custom": {"k": "v"}}
    assert answer["last_updated"].keys() == {"tags_updated_at", "updated_at"}
    at = datetime.fromisoformat(answer["last_updated"]["tags_updated_at"])
    assert abs(datetime.now(UTC) - at) < timedelta(seconds=5)
    cleared = sdk("update", "a/b", tags="", context={})
    assert "tags" not in cleared and "context" not in cleared
    assert "context_updated_at" in sdk.everything()[0]["last_updated"]
    with pytest.raises(cloudinary.exceptions.NotFound):
        sdk("update", "gone", tags="x")


def test_a_hundred_are_deleted_in_one_call(local: LocalCloudinary, sdk: Sdk) -> None:
    for number in range(99):
        local.account.add(f"n/{number}")
    ids = [f"n/{number}" for number in range(99)]
    answer = sdk("delete_resources", [*ids, "gone"])
    assert answer["deleted"] == {**dict.fromkeys(ids, "deleted"), "gone": "not_found"}
    assert answer["partial"] is False
    assert answer["deleted_counts"]["n/0"] == {"original": 1, "derived": 0}
    assert local.calls["delete"] == local.calls.admin == 1
    assert len(local.account) == 0
    assert len(local.account.journal.of("delete")) == 99
    with pytest.raises(cloudinary.exceptions.BadRequest, match="at most 100"):
        sdk("delete_resources", [str(number) for number in range(101)])


def test_assets_are_deleted_by_prefix_tag_id_or_altogether(
    local: LocalCloudinary, sdk: Sdk
) -> None:
    asset = local.account.add("z")
    for name in ("p/1", "p/2", "t", "rest"):
        local.account.add(name, tags=["gone"] if name == "t" else [])
    assert set(sdk("delete_resources_by_prefix", "p/")["deleted"]) == {"p/1", "p/2"}
    assert set(sdk("delete_resources_by_tag", "gone")["deleted"]) == {"t"}
    by_id = sdk("delete_resources_by_asset_ids", [asset.asset_id])
    assert by_id["deleted"] == {asset.asset_id: "deleted"}
    assert set(sdk("delete_all_resources")["deleted"]) == {"rest"}


def test_a_form_works_as_well_as_json(local: LocalCloudinary) -> None:
    local.account.add("a")
    response = httpx.request(
        "DELETE",
        f"{local.url}/v1_1/{local.cloud_name}/resources/image/upload?public_ids[]=a&public_ids[]=b",
        auth=(local.api_key, local.api_secret),
        trust_env=False,
    )
    assert response.json()["deleted"] == {"a": "deleted", "b": "not_found"}


def test_an_unknown_path_is_not_found(local: LocalCloudinary) -> None:
    response = httpx.get(f"{local.url}/v1_1/{local.cloud_name}/nothing", trust_env=False)
    assert response.status_code == 404
    assert response.json()["error"]["message"] == response.headers["x-cld-error"]


def test_a_search_finds_and_sorts(local: LocalCloudinary, sdk: Sdk) -> None:
    for number in range(5):
        local.account.add(f"x/{number}", tags=["odd"] if number % 2 else [])
    local.account.add("song", resource_type="video")
    search = sdk.search().expression("resource_type:image AND tags=odd").with_field("tags")
    found = search.execute(**sdk.options)
    assert (found["total_count"], _names(found)) == (2, ["x/3", "x/1"])
    assert found["resources"][0]["tags"] == ["odd"]
    query = sdk.search().expression("public_id:x/*").sort_by("public_id", "asc").max_results(3)
    first = query.execute(**sdk.options)
    second = query.next_cursor(first["next_cursor"]).execute(**sdk.options)
    assert _names(first) + _names(second) == [f"x/{number}" for number in range(5)]
    with pytest.raises(cloudinary.exceptions.BadRequest, match="Invalid field"):
        sdk.search().expression("nothing:1").execute(**sdk.options)


def test_a_large_account_takes_little_memory(local: LocalCloudinary, sdk: Sdk) -> None:
    tracemalloc.start()
    for number in range(1_000):
        local.account.add(f"n/{number}", tags=["a"], context={"k": "v"})
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert size / 1_000 < 2_500  # bytes an asset
    assert len(sdk.everything(max_results=500)) == 1_000
    assert local.calls["list"] == 2


def test_many_threads_may_change_the_account_at_once(local: LocalCloudinary) -> None:
    def work(name: str) -> None:
        sdk = Sdk(local)
        for number in range(10):
            sdk.upload(b"text", public_id=f"{name}{number}", resource_type="raw")
            sdk.upload(b"text", public_id="shared", resource_type="raw")
            sdk("resources", resource_type="raw")
        sdk("delete_resources", [f"{name}0"], resource_type="raw")

    threads = [threading.Thread(target=work, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(local.account) == 4 * 9 + 1
    versions = [e.version for e in local.account.journal.of("overwrite", public_id="shared")]
    assert versions == sorted(set(versions)) and len(versions) == 39


def _names(answer: dict[str, list[dict[str, str]]]) -> list[str]:
    return [asset["public_id"] for asset in answer["resources"]]
