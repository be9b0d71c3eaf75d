"""cleanup and sync: rows of a media library and a Cloudinary account are kept the same."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from worker.demo.proof import Check
from worker.demo.scene import Step
from worker.demo.stage import Row, Stage

ASSETS = {"logo": ("brand",), "banner": ("brand", "web"), "draft": (), "portrait": ("people",)}
INSERT = """
    insert into media_files (public_id, resource_type, type, secure_url, status)
    select public_id, resource_type, type, secure_url, 'active' from media_assets
    where public_id = %s and deleted_at is null
"""
STATE = """
    select wanted.id as public_id, f.status, q.status as deletion, q.error_message,
        a.tags, a.sync_status, a.id is not null as mirrored
    from unnest(%s::text[]) with ordinality as wanted (id, place)
    left join media_files as f on f.public_id = wanted.id
    left join lateral (
        select * from cloudinary_cleanup_queue as c where c.public_id = wanted.id
        order by c.created_at desc limit 1) as q on true
    left join media_assets as a on a.public_id = wanted.id and a.deleted_at is null
    order by wanted.place
"""


class Mirroring:
    """A library is mirrored from Cloudinary, changed on both sides, and cleaned up."""

    title = "Media library"
    story = "Rows and a Cloudinary account, on this machine, are kept the same."
    columns = ("asset", "at Cloudinary", "media_files", "deletion", "media_assets", "outcome")

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._account = stage.cloudinary.account

    def steps(self) -> Sequence[Step]:
        """Mirror, change a tag, delete: softly, for good, and what is still used."""
        return [
            Step("select request_media_sync()", self._mirror, self._mirrored),
            Step(
                "update media_assets set tags = '{brand,new}' where public_id = 'logo'",
                lambda: self._stage.sql(
                    "update media_assets set tags = '{brand,new}' where public_id = 'logo'"
                ),
                lambda: self._tags("logo") == ("brand", "new"),
            ),
            Step(
                "delete from media_files where public_id = 'draft';"
                " update media_files set status = 'deleted' where public_id = 'portrait'",
                self._delete,
                lambda: self._deletions() == ["completed"] * 3,
            ),
        ]

    def rows(self) -> Sequence[Sequence[str]]:
        """A row for each asset."""
        return [self._row(state) for state in self._states()]

    def checks(self) -> Sequence[Check]:
        """What is at Cloudinary, what the rows say, and what has been written down."""
        mirror = {state["public_id"]: state["mirrored"] for state in self._states()}
        log = self._stage.value("select count(*) from media_sync_log where status = 'error'")
        return [
            Check("assets at Cloudinary", "banner logo", " ".join(self._there())),
            Check("assets in media_assets", "banner logo",
                  " ".join(sorted(name for name, is_there in mirror.items() if is_there))),
            Check("logo: its tags at Cloudinary", "brand new", " ".join(self._tags("logo"))),
            Check("banner: deleted once, used by another row", "cancelled: media_files",
                  self._state("banner")["error_message"] or "", within=True),
            Check("calls that changed the account", "2 delete, 1 tags", self._changes()),
            Check("errors in media_sync_log", "0", str(log)),
        ]  # fmt: skip

    def _mirror(self) -> None:
        for name, tags in ASSETS.items():
            self._account.add(name, tags=tags)
        self._stage.sql("select request_media_sync()")

    def _mirrored(self) -> bool:
        return all(state["mirrored"] for state in self._states())

    def _delete(self) -> None:
        for name in ("banner", "banner", "draft", "portrait"):
            self._stage.sql(INSERT, name)
        self._stage.sql("delete from media_files where public_id = 'draft'")
        self._stage.sql("update media_files set status = 'deleted' where public_id = 'portrait'")
        self._stage.sql(
            "delete from media_files where id = (select id from media_files"
            " where public_id = 'banner' order by id limit 1)"
        )

    def _states(self) -> list[Row]:
        return self._stage.sql(STATE, list(ASSETS))

    def _state(self, name: str) -> Row:
        return next(state for state in self._states() if state["public_id"] == name)

    def _deletions(self) -> list[str]:
        query = "select status from cloudinary_cleanup_queue order by status"
        return [row["status"] for row in self._stage.sql(query)]

    def _there(self) -> list[str]:
        return sorted(asset.key.public_id for asset in self._account.assets)

    def _changes(self) -> str:
        """What was asked of the account and had an effect, counted."""
        kinds = Counter(effect.kind for effect in self._account.journal)
        return ", ".join(f"{number} {kind}" for kind, number in sorted(kinds.items()))

    def _row(self, state: Row) -> tuple[str, ...]:
        name = state["public_id"]
        return (
            name,
            " ".join(self._tags(name)) if name in self._there() else "",
            state["status"] or "",
            state["deletion"] or "",
            (state["sync_status"] or "") if state["mirrored"] else "",
            state["error_message"] or "",
        )

    def _tags(self, name: str) -> tuple[str, ...]:
        asset = self._account.get(name)
        return tuple(sorted(asset.tags)) if asset else ()
