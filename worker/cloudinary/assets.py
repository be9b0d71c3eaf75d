"""Looking at assets by name, and deleting them, in as few calls as can be."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar
from urllib.parse import quote

from worker.cloudinary.account import Account
from worker.cloudinary.failures import Refused
from worker.errors import Temporary, WorkError

MOST_IDS = 100  # in one call
# What is looked for stands in the URL: more than that no server takes.
LONGEST_QUERY = 15_000

T = TypeVar("T")


class Found(NamedTuple):
    """An asset that is there; very old ones have no id of their own."""

    version: int
    asset_id: str | None


class AssetStore:
    """Assets of an account, named by public id; `batch` bounds how many one call names.

    What goes wrong is said for each asset, and concerns none of the others.
    """

    def __init__(self, account: Account, *, batch: int = MOST_IDS) -> None:
        self._account = account
        self._batch = min(batch, MOST_IDS)

    async def look(
        self, resource_type: str, type: str, public_ids: Collection[str]
    ) -> dict[str, Found | WorkError | None]:
        """What there is of each, None where there is no such asset."""

        async def look_at(ids: Sequence[str]) -> Mapping[str, Found | None]:
            return await self._look(["resources", resource_type, type], ids)

        found: dict[str, Found | WorkError | None] = {}
        for ids in chunks(public_ids, most=self._batch):
            found |= await in_halves(ids, look_at)
        return found

    async def delete(
        self, resource_type: str, type: str, public_ids: Sequence[str]
    ) -> dict[str, WorkError | None]:
        """Delete up to 100 at once, and their copies in caches; None is said of what is gone."""

        async def delete(ids: Sequence[str]) -> Mapping[str, WorkError | None]:
            return await self._delete(["resources", resource_type, type], ids)

        return await in_halves(public_ids, delete)

    async def _look(self, path: Sequence[str], ids: Sequence[str]) -> Mapping[str, Found | None]:
        params: dict[str, Any] = {"public_ids": ids, "max_results": MOST_IDS}
        found: dict[str, Found | None] = dict.fromkeys(ids)
        while True:
            body = await self._account.call("GET", path, params)
            found |= {asset["public_id"]: _found(asset) for asset in body["resources"]}
            # what is not named here would be taken for absent
            if not body.get("next_cursor"):
                return found
            params["next_cursor"] = body["next_cursor"]

    async def _delete(
        self, path: Sequence[str], ids: Sequence[str]
    ) -> Mapping[str, WorkError | None]:
        body = await self._account.call("DELETE", path, {"public_ids": ids, "invalidate": True})
        said = body.get("deleted", {})
        return {id_: _deleted(said.get(id_)) for id_ in ids}


async def in_halves(
    ids: Sequence[str], act: Callable[[Sequence[str]], Awaitable[Mapping[str, T]]]
) -> dict[str, T | WorkError]:
    """Act on all at once; where that is refused, on ever fewer, to find those that are to blame."""
    try:
        return {**await act(ids)}
    except Refused as error:
        if len(ids) == 1:
            return {ids[0]: error}
    except WorkError as error:
        return dict.fromkeys(ids, error)
    middle = len(ids) // 2
    return {**await in_halves(ids[:middle], act), **await in_halves(ids[middle:], act)}


def _found(asset: Mapping[str, Any]) -> Found:
    return Found(int(asset["version"]), asset.get("asset_id"))


def _deleted(said: object) -> WorkError | None:
    if said in ("deleted", "not_found"):
        return None
    return Temporary(f"Cloudinary has not deleted the asset: {said}")


def chunks(ids: Collection[str], *, most: int) -> Iterator[list[str]]:
    """Lists of at most so many, which fit into a URL."""
    chunk: list[str] = []
    length = 0
    for id_ in ids:
        needed = len(quote(id_, safe="")) + len("public_ids%5B%5D=&")
        if chunk and (len(chunk) == most or length + needed > LONGEST_QUERY):
            yield chunk
            chunk, length = [], 0
        chunk.append(id_)
        length += needed
    if chunk:
        yield chunk
