"""Who used which asset, and when: told from what was committed, not from what workers say."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from tests.faults.library import Commit
from tests.sync.site import Row, Site
from worker.demo.cloudinary import Asset, Effect

# A transaction of a worker is over by then; the application's are known exactly.
WORKERS_COMMIT = 0.5  # seconds
# `sent_at` is a little later than the look that goes with it.
LOOK = 0.2
FOREVER = float("inf")
TABLES = ("media_files", "media_assets", "cloudinary_cleanup_queue")
INSTALL = """
    create table trail (
        n bigint generated always as identity primary key,
        at double precision not null default extract(epoch from clock_timestamp()),
        tx bigint not null default pg_current_xact_id()::text::bigint,
        source text not null, id uuid not null, doc jsonb);
    create function trail_row() returns trigger language plpgsql security definer
    set search_path = '' as $$
    begin
        insert into public.trail (source, id, doc)
        values (tg_table_name, coalesce(new.id, old.id), to_jsonb(new));
        return null;
    end $$;
"""
WATCH = """
    create trigger zzz_trail after insert or update or delete on {}
    for each row execute function trail_row();
"""


@dataclass(frozen=True)
class Use:
    """An asset was in use by a row of the application, from a commit to a commit.

    `key` is the asset's name, or Cloudinary's id of it. `given_up`: the application ended it.
    """

    row: str
    key: str
    version: int | None
    begin: float
    end: float
    given_up: bool


@dataclass(frozen=True)
class Look:
    """A worker's last look before a deletion was sent, and when its end was recorded."""

    at: float
    ended: float


class Trail:
    """Every state that rows of the library had, and of deletions."""

    def __init__(self, site: Site) -> None:
        self._site = site
        site.sql(INSTALL + "".join(WATCH.format(table) for table in TABLES))

    def uses(self, commits: Mapping[int, Commit]) -> list[Use]:
        """The application's uses of assets."""
        rows = self._rows("media_files", "media_assets")
        states: dict[str, list[Row]] = {}
        for row in rows:
            states.setdefault(f"{row['source']} {row['id']}", []).append(row)
        return [use for name, each in states.items() for use in _uses(name, each, commits)]

    def looks(self, public_id: str) -> list[Look]:
        """The looks before deletions of this asset, and when it was recorded what came of it."""
        rows = [
            row
            for row in self._rows("cloudinary_cleanup_queue")
            if row["doc"] and row["doc"]["public_id"] == public_id
        ]
        ends = [(r["id"], r["at"]) for r in rows if r["doc"]["status"] in ("completed", "failed")]
        sent: dict[tuple[UUID, str], float] = {}
        for row in rows:
            if row["doc"]["sent_at"]:
                sent.setdefault((row["id"], row["doc"]["sent_at"]), row["at"])
        return [
            Look(at, min((e for id_, e in ends if id_ == row and e > at), default=FOREVER))
            for (row, _), at in sent.items()
        ]

    def _rows(self, *sources: str) -> list[Row]:
        return self._site.sql(
            "select * from trail where source = any (%s) order by n", list(sources)
        )


def users(uses: Sequence[Use], asset: Asset) -> list[Use]:
    """Those who use the asset: by its name, or because it is theirs under another name."""
    return [use for use in uses if use.key in (asset.public_id, asset.asset_id)]


def deletions(site: Site) -> list[Effect]:
    """What workers have deleted."""
    return [e for e in site.cloudinary.account.journal.of("delete") if e.call == "delete"]


def _uses(name: str, states: Sequence[Row], commits: Mapping[int, Commit]) -> Iterator[Use]:
    wanted, before = False, None
    begins: dict[str, float] = {}
    versions: dict[str, int | None] = {}
    for state in states:
        wanted = _is_wanted(wanted, before, state, commits)
        keys = _keys(state["doc"]) if wanted else set()
        commit = commits.get(state["tx"])
        for key in begins.keys() - keys:
            end = commit.sent if commit else state["at"]
            given_up = bool(commit) and not _is_active(state["doc"])
            yield Use(name, key, versions[key], begins.pop(key), end, given_up)
        for key in keys:
            begins.setdefault(key, commit.returned if commit else state["at"] + WORKERS_COMMIT)
            versions[key] = _version(state["doc"])
        before = state
    for key, begin in begins.items():
        yield Use(name, key, versions[key], begin, FOREVER, False)


def _keys(doc: Mapping[str, Any] | None) -> set[str]:
    """What a row uses. One that is just being given a name does not use what has it still."""
    if doc is None or not _is_active(doc):
        return set()
    own, url = doc.get("asset_id"), doc["secure_url"] or ""
    keys = {doc["public_id"]} if own is None or f"/{doc['public_id']}." in url else set()
    return keys | ({own} if own else set())


def _is_wanted(wanted: bool, before: Row | None, state: Row, commits: Mapping[int, Commit]) -> bool:
    """By the application: it inserted the row, or had it back, and has not deleted it."""
    was_active = before is not None and _is_active(before["doc"])
    if before is not None and was_active == _is_active(state["doc"]):
        return wanted
    if state["tx"] in commits:
        return _is_active(state["doc"])
    return wanted and before is not None


def _is_active(doc: Mapping[str, Any] | None) -> bool:
    return doc is not None and doc["deleted_at"] is None and doc.get("status") != "deleted"


def _version(doc: Mapping[str, Any]) -> int | None:
    if doc.get("version") is not None:
        return int(doc["version"])
    _, found, rest = (doc["secure_url"] or "").partition("/v")
    return int(rest.partition("/")[0]) if found else None
