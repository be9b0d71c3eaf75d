"""Whether what rows say of an asset and what is there agree."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from worker.check.account.model import Asset, AssetRow, Suspicion
from worker.check.model import Kind

REPAIRS: dict[Kind, str] = {
    "missing": "it is uploaded again from source_url; without one the row is marked deleted",
    "other": "the row is made the same as its asset",
    "orphan": "it is deleted",
}
LEFT = "left as it is"


def judge(asset: Asset, rows: Sequence[AssetRow], *, cut_off: datetime) -> Suspicion | None:
    """What is wrong with an asset that is there, as far as both sides tell.

    None where they agree, where something is under way, and for an asset that is younger than the
    cut-off.
    """
    standings = {row.standing for row in rows}
    if "under way" in standings or asset.touched_at > cut_off:
        return None
    if "wanted" in standings:
        return _different(asset, [row for row in rows if row.standing == "wanted"])
    if "unwanted" in standings:
        what = f"version {asset.version}: Media Worker has deleted it, and it is still there"
        return Suspicion("orphan", asset.name, what, asset=asset)
    if "deleted" in standings:
        what = f"only a deleted row names it, and its deletion was not asked for: {rows[0].owner}"
        return Suspicion("unrecorded", asset.name, what, asset=asset)
    return Suspicion("foreign", asset.name, "no row names it", asset=asset)


def missing(row: AssetRow) -> Suspicion:
    """Nothing is there where a row says that its asset is."""
    return Suspicion("missing", row.name, f"not there: {row.owner}", (row,))


def repair_of(kind: Kind) -> str:
    """What mends it, or that nothing is done about it."""
    return REPAIRS.get(kind, LEFT)


def _different(asset: Asset, rows: Sequence[AssetRow]) -> Suspicion | None:
    said = {row: what for row in rows if (what := _difference(asset, row))}
    if not said:
        return None
    what = "; ".join(f"{row.owner}: {difference}" for row, difference in said.items())
    return Suspicion("other", asset.name, what, tuple(said), asset)


def _difference(asset: Asset, row: AssetRow) -> str | None:
    if row.bytes is not None and asset.bytes is not None and row.bytes != asset.bytes:
        return f"{asset.bytes} bytes instead of {row.bytes}"
    if row.version is not None and row.version != asset.version:
        return f"version {asset.version} instead of {row.version}"
    return None
