"""Looking at many assets and deleting them in few calls."""

from __future__ import annotations

from tests.cloudinary.conftest import Site
from worker.cloudinary import AssetStore, Refused
from worker.errors import Outage


async def test_a_look_tells_version_and_id_of_those_that_are_there(site: Site) -> None:
    names = ["a/b c", "ü&d", "plain"]
    there = {name: site.local.account.add(name) for name in names}
    found = await site.assets.look("image", "upload", [*names, "absent"])
    expected = {name: (asset.version, asset.asset_id) for name, asset in there.items()}
    assert found == {**expected, "absent": None}
    assert site.local.calls.admin == 1


async def test_a_hundred_names_go_into_one_call_and_long_ones_into_more(site: Site) -> None:
    await site.assets.look("image", "upload", [f"{n:0100}" for n in range(100)])
    assert site.local.calls.admin == 1
    site.local.calls.clear()
    await site.assets.look("image", "upload", [f"{n:0255}" for n in range(100)])
    assert site.local.calls.admin == 2


async def test_a_batch_bounds_what_one_call_names(site: Site) -> None:
    await AssetStore(site.account, batch=10).look("image", "upload", [f"{n}" for n in range(25)])
    assert site.local.calls.admin == 3


async def test_deleting_says_of_each_whether_it_is_gone(site: Site) -> None:
    site.local.account.add("cat")
    site.local.account.add("cat", type="private")
    said = await site.assets.delete("image", "upload", ["cat", "absent"])
    assert said == {"cat": None, "absent": None}
    assert len(site.local.account) == 1


async def test_what_is_refused_is_found_by_halving(site: Site) -> None:
    names = [f"n{number}" for number in range(16)]
    for name in names:
        site.local.account.add(name)
    site.local.faults.answer(
        "delete", 400, times=99, where=lambda call: "n5" in call.params.entries("public_ids")
    )
    said = await site.assets.delete("image", "upload", names)
    assert isinstance(said.pop("n5"), Refused)
    assert set(said.values()) == {None}
    assert site.local.calls["delete"] == 9


async def test_an_outage_is_said_of_all(site: Site) -> None:
    site.local.faults.answer("list", 503, times=9)
    said = await site.assets.look("image", "upload", ["a", "b"])
    assert all(isinstance(each, Outage) for each in said.values())
    assert site.local.calls.admin == 1
