"""The local Cloudinary's Upload API and delivery, driven by the official SDK."""

from __future__ import annotations

import hashlib
import io
import time
from typing import Any

import cloudinary.exceptions
import cloudinary.utils
import httpx
import pytest

from tests.support.cloudinary_sdk import Sdk
from worker.demo.bodies import media
from worker.demo.cloudinary import LocalCloudinary, Preset
from worker.demo.cloudinary.signing import Keys
from worker.demo.provider import Provider

PNG = media("cover.png").content
JPG = media("cover.jpg").content
MP3 = media("melody.mp3").content
PART = 5 * 2**20  # bytes: the least that all parts but the last may have


def test_the_published_signature_comes_out() -> None:
    keys = Keys("key", "hdcixPpR2iKERPwqvH6sHdK9cyac")
    values = {
        "cloud_name": "dn6ot3ged",
        "timestamp": "1568810420",
        "username": "user@cloudinary.com",
    }
    assert keys.sign(values) == "14c00ba6d0dfdedbc86b316847d95b9e6cd46d94"


def test_an_upload_tells_all_about_the_asset(local: LocalCloudinary, sdk: Sdk) -> None:
    answer = sdk.upload(
        PNG,
        filename="my cover.png",
        public_id="albums/one/cover",
        tags=["a", "b&c"],
        context={"alt": "x|y", "caption": "1=1"},
    )
    asset = local.account.get("albums/one/cover")
    assert asset is not None
    assert asset.content == PNG
    assert answer["asset_id"] == asset.asset_id
    assert answer["version"] == pytest.approx(time.time(), abs=5)
    assert answer["etag"] == hashlib.md5(PNG).hexdigest()
    assert (answer["bytes"], answer["format"]) == (len(PNG), "png")
    assert answer["width"] > 0 and answer["height"] > 0
    assert (answer["resource_type"], answer["type"]) == ("image", "upload")
    assert answer["tags"] == ["a", "b&c"]
    assert answer["context"] == {"custom": {"alt": "x|y", "caption": "1=1"}}
    assert (answer["asset_folder"], answer["display_name"]) == ("albums/one", "cover")
    assert answer["original_filename"] == "my cover"
    assert f"/v{answer['version']}/albums/one/cover.png" in answer["secure_url"]
    signed = {"public_id": "albums/one/cover", "version": answer["version"]}
    expected = cloudinary.utils.api_sign_request(signed, local.api_secret)
    assert answer["signature"] == expected


def test_urls_can_look_like_the_real_ones() -> None:
    with LocalCloudinary(cloud_name="demo", delivery_base="https://res.cloudinary.com") as local:
        answer = Sdk(local).upload(PNG, public_id="a b")
    ending = f"res.cloudinary.com/demo/image/upload/v{answer['version']}/a%20b.png"
    assert (answer["url"], answer["secure_url"]) == (f"http://{ending}", f"https://{ending}")


def test_audio_is_video_and_a_type_that_does_not_fit_is_refused(sdk: Sdk) -> None:
    answer = sdk.upload(MP3, public_id="song", resource_type="auto")
    assert (answer["resource_type"], answer["format"]) == ("video", "mp3")
    assert answer["duration"] > 1
    with pytest.raises(cloudinary.exceptions.BadRequest, match="Invalid image file"):
        sdk.upload(MP3, public_id="song")
    with pytest.raises(cloudinary.exceptions.BadRequest, match="Unsupported video format"):
        sdk.upload(PNG, public_id="song", resource_type="video")


def test_what_is_neither_image_nor_video_is_raw_and_keeps_its_extension(sdk: Sdk) -> None:
    answer = sdk.upload(b"just text", filename="notes.txt", resource_type="auto")
    assert answer["resource_type"] == "raw"
    assert "format" not in answer
    assert answer["public_id"].endswith(".txt") and answer["secure_url"].endswith(".txt")


def test_an_overwrite_keeps_the_asset_id_and_raises_the_version(
    local: LocalCloudinary, sdk: Sdk
) -> None:
    first = sdk.upload(PNG, public_id="a", tags="old", context={"k": "v"})
    second = sdk.upload(JPG, public_id="a")
    assert second["asset_id"] == first["asset_id"]
    assert second["created_at"] == first["created_at"]
    assert second["version"] > first["version"]
    assert second["version_id"] != first["version_id"]
    assert second["overwritten"] is True
    assert (second["format"], second["tags"]) == ("jpg", [])
    assert "context" not in second
    assert [effect.kind for effect in local.account.journal] == ["upload", "overwrite"]


def test_a_deleted_asset_comes_back_as_another_one_with_a_higher_version(sdk: Sdk) -> None:
    first = sdk.upload(PNG, public_id="a")
    sdk("destroy", "a")
    second = sdk.upload(PNG, public_id="a")
    assert second["asset_id"] != first["asset_id"]
    assert second["version"] > first["version"]
    assert "overwritten" not in second


def test_without_overwrite_what_exists_stays(local: LocalCloudinary, sdk: Sdk) -> None:
    first = sdk.upload(PNG, public_id="a", tags="kept")
    second = sdk.upload(JPG, public_id="a", overwrite=False)
    assert second["existing"] is True
    assert (second["version"], second["tags"]) == (first["version"], ["kept"])
    assert len(local.account.journal) == 1


def test_folders_and_names_are_taken_as_given(sdk: Sdk) -> None:
    options = {"asset_folder": "x/y", "display_name": "Mine"}
    answer = sdk.upload(PNG, public_id="a/b", **options)
    assert (answer["asset_folder"], answer["display_name"]) == ("x/y", "Mine")
    assert sdk.upload(PNG, folder="main-uploads")["public_id"].startswith("main-uploads/")
    assert sdk.upload(PNG, public_id="c", folder="f")["public_id"] == "f/c"


@pytest.mark.parametrize("public_id", ["a?b", "a#b", " a", "a/"])
def test_a_public_id_that_cannot_be_addressed_is_refused(sdk: Sdk, public_id: str) -> None:
    with pytest.raises(cloudinary.exceptions.BadRequest, match="is invalid"):
        sdk.upload(PNG, public_id=public_id)


def test_a_url_is_fetched_from_this_machine_only(
    local: LocalCloudinary, sdk: Sdk, provider: Provider
) -> None:
    answer = sdk.upload(provider.url("/ok/cover.jpg?token=1"), public_id="a")
    assert (answer["etag"], answer["original_filename"]) == (hashlib.md5(JPG).hexdigest(), "cover")
    with pytest.raises(cloudinary.exceptions.BadRequest, match=r"Error in loading .* - 404"):
        sdk.upload(provider.url("/nothing.jpg"))
    with pytest.raises(cloudinary.exceptions.BadRequest, match="Error in loading"):
        sdk.upload("http://192.0.2.1/a.jpg")
    assert len(local.account) == 1


def test_a_large_file_may_come_in_parts(local: LocalCloudinary, sdk: Sdk) -> None:
    content = MP3 * (3 * PART // len(MP3))
    answer = sdk(
        "upload_large",
        io.BytesIO(content),
        chunk_size=PART,
        public_id="long",
        resource_type="video",
    )
    assert answer["bytes"] == len(content)
    assert local.calls["upload"] == 3
    assert len(local.account.journal) == 1


def send_part(sdk: Sdk, content: bytes, first: int, total: int) -> dict[str, Any]:
    span = f"bytes {first}-{first + len(content) - 1}/{total}"
    headers = {"X-Unique-Upload-Id": "one", "Content-Range": span}
    options = {"public_id": "long", "resource_type": "video"}
    answer: dict[str, Any] = sdk(
        "upload_large_part", ("a.mp3", content), http_headers=headers, **options
    )
    return answer


def test_a_part_may_be_sent_twice(local: LocalCloudinary, sdk: Sdk) -> None:
    content = (MP3 * (PART // len(MP3) + 2))[: PART + 1000]
    for _ in range(2):
        assert send_part(sdk, content[:PART], 0, len(content))["done"] is False
    assert send_part(sdk, content[PART:], PART, len(content))["bytes"] == len(content)
    asset = local.account.get("long", resource_type="video")
    assert asset is not None and asset.content == content


def test_a_part_that_is_small_or_leaves_a_gap_is_refused(local: LocalCloudinary, sdk: Sdk) -> None:
    with pytest.raises(cloudinary.exceptions.BadRequest, match="larger than 5mb"):
        send_part(sdk, MP3, 0, 2 * len(MP3))
    with pytest.raises(cloudinary.exceptions.BadRequest, match="does not continue"):
        send_part(sdk, MP3, PART, PART + len(MP3))


@pytest.mark.parametrize(
    ("changes", "message"),
    [({"api_secret": "wrong"}, "Invalid Signature"), ({"api_key": "other"}, "Unknown API key")],
)
def test_a_call_that_is_not_signed_rightly_is_refused(
    local: LocalCloudinary, changes: dict[str, str], message: str
) -> None:
    local.account.add("a")
    for call in (lambda sdk: sdk.upload(PNG), lambda sdk: sdk("destroy", "a")):
        with pytest.raises(cloudinary.exceptions.AuthorizationRequired, match=message):
            call(Sdk(local, **changes))
    assert len(local.account) == 1 and len(local.account.journal) == 0


def test_a_signature_holds_for_an_hour() -> None:
    ahead = [3590.0]
    with LocalCloudinary(clock=lambda: time.time() + ahead[0]) as local:
        Sdk(local).upload(PNG)
        ahead[0] = 3610
        with pytest.raises(cloudinary.exceptions.BadRequest, match="Stale request"):
            Sdk(local).upload(PNG)


def test_a_changed_parameter_breaks_the_signature(local: LocalCloudinary) -> None:
    fields = {"public_id": "a", "timestamp": str(int(time.time()))}
    signature = cloudinary.utils.api_sign_request(fields, local.api_secret)
    proof = {"api_key": local.api_key, "signature": signature}
    url = f"{local.url}/v1_1/{local.cloud_name}/image/destroy"
    refused = httpx.post(url, data={**fields, **proof, "public_id": "b"}, trust_env=False)
    assert refused.status_code == 401
    accepted = httpx.post(url, data={**fields, **proof}, trust_env=False)
    assert accepted.json() == {"result": "not found"}


def test_an_unsigned_upload_needs_a_preset_that_allows_it(local: LocalCloudinary, sdk: Sdk) -> None:
    local.account.presets["open"] = Preset(unsigned=True, params={"folder": "in", "tags": "new"})
    local.account.presets["closed"] = Preset()
    for preset in ("closed", "unknown"):
        with pytest.raises(cloudinary.exceptions.BadRequest, match="Upload preset"):
            sdk("unsigned_upload", io.BytesIO(PNG), preset)
    answer = sdk("unsigned_upload", io.BytesIO(PNG), "open", public_id="a")
    assert (answer["public_id"], answer["tags"]) == ("in/a", ["new"])
    again = sdk("unsigned_upload", io.BytesIO(JPG), "open", public_id="a")
    assert again["existing"] is True


def test_destroy_looks_at_its_own_type_only(local: LocalCloudinary, sdk: Sdk) -> None:
    local.account.add("song", resource_type="video")
    local.account.add("song", resource_type="video", type="private")
    assert sdk("destroy", "song")["result"] == "not found"
    assert sdk("destroy", "song", resource_type="video")["result"] == "ok"
    assert sdk("destroy", "song", resource_type="video")["result"] == "not found"
    assert local.account.get("song", resource_type="video", type="private") is not None
    assert [effect.call for effect in local.account.journal] == ["destroy"]


def test_rename_keeps_the_asset(local: LocalCloudinary, sdk: Sdk) -> None:
    old = local.account.add("a")
    local.account.add("taken")
    answer = sdk("rename", "a", "b/c")
    assert (answer["asset_id"], answer["public_id"]) == (old.asset_id, "b/c")
    assert local.account.get("a") is None
    with pytest.raises(cloudinary.exceptions.Error, match="already exists"):
        sdk("rename", "b/c", "taken")
    with pytest.raises(cloudinary.exceptions.NotFound):
        sdk("rename", "a", "d")
    assert sdk("rename", "b/c", "taken", overwrite=True)["asset_id"] == old.asset_id
    assert len(local.account) == 1


def test_tags_are_added_removed_and_replaced_in_bulk(local: LocalCloudinary, sdk: Sdk) -> None:
    local.account.add("a", tags=["x"])
    local.account.add("b")
    assert sdk("add_tag", "y,z", ["a", "b", "gone"])["public_ids"] == ["a", "b"]
    assert _tags(local, "a") == ("x", "y", "z")
    sdk("remove_tag", "y", ["a"])
    sdk("replace_tag", "w", ["b"])
    assert (_tags(local, "a"), _tags(local, "b")) == (("x", "z"), ("w",))
    sdk("remove_all_tags", ["a", "b"])
    assert (_tags(local, "a"), _tags(local, "b")) == ((), ())


def test_context_is_added_to_and_removed(local: LocalCloudinary, sdk: Sdk) -> None:
    local.account.add("a", context={"x": "1"})
    sdk("add_context", {"y": "a=b|c"}, ["a"])
    asset = local.account.get("a")
    assert asset is not None and asset.context == {"x": "1", "y": "a=b|c"}
    sdk("remove_all_context", ["a"])
    asset = local.account.get("a")
    assert asset is not None and asset.context == {}


def test_explicit_sets_what_is_given(local: LocalCloudinary, sdk: Sdk) -> None:
    old = local.account.add("a", tags=["x"], context={"k": "v"})
    answer = sdk("explicit", "a", type="upload", tags="y", display_name="New", asset_folder="f")
    assert (answer["tags"], answer["display_name"]) == (["y"], "New")
    assert (answer["asset_folder"], answer["context"]) == ("f", {"custom": {"k": "v"}})
    assert answer["version"] == old.version
    with pytest.raises(cloudinary.exceptions.NotFound):
        sdk("explicit", "a", type="private")


def test_the_file_is_delivered_until_it_is_deleted(sdk: Sdk) -> None:
    answer = sdk.upload(MP3, public_id="a b/ü.x", resource_type="video")
    with httpx.Client(trust_env=False) as client:
        delivered = client.get(answer["secure_url"])
        assert delivered.content == MP3
        assert delivered.headers["content-type"] == "audio/mpeg"
        assert client.head(answer["secure_url"]).headers["content-length"] == str(len(MP3))
        sdk("destroy", "a b/ü.x", resource_type="video")
        assert client.get(answer["secure_url"]).status_code == 404


def test_what_is_not_public_needs_a_signed_url(sdk: Sdk) -> None:
    answer = sdk.upload(PNG, public_id="a", type="authenticated")
    start, signature, end = answer["secure_url"].partition(answer["secure_url"].split("/")[-3])
    assert signature.startswith("s--")
    with httpx.Client(trust_env=False) as client:
        assert client.get(start + signature + end).content == PNG
        assert client.get(f"{start}s--wrongwro--{end}").status_code == 401


def _tags(local: LocalCloudinary, public_id: str) -> tuple[str, ...]:
    asset = local.account.get(public_id)
    assert asset is not None
    return asset.tags
