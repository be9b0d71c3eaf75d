"""What applications write, whoever they are: our triggers and indexes need no rights of theirs."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from tests.security.conftest import Site

ROLES = ("authenticated", "service_role")
STATEMENTS = (
    "insert into public.media_assets (public_id, tags, folder) values ('a', '{x}', 'f')",
    "update public.media_assets set tags = '{y}', public_id = 'b', display_name = 'B'",
    "update public.media_assets set deleted_at = now()",
    "update public.media_assets set deleted_at = null",
    "delete from public.media_assets",
    "insert into public.media_files (public_id) values ('a')",
    "update public.media_files set status = 'deleted'",
    "update public.media_files set status = 'active'",
    "delete from public.media_files",
)


@pytest.fixture
def open_tables(site: Site) -> Iterator[None]:
    """The team lets users write into its library."""
    tables = ("public.media_assets", "public.media_files")
    for table in tables:
        site.sql(f"grant insert, update, delete on {table} to authenticated")
        site.sql(f"create policy team on {table} to authenticated using (true) with check (true)")
    yield
    for table in tables:
        site.sql(f"revoke insert, update, delete on {table} from authenticated")
        site.sql(f"drop policy team on {table}")


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.usefixtures("open_tables")
def test_the_library_can_be_written(site: Site, role: str) -> None:
    warnings: list[str | None] = []
    site.requests.add_notice_handler(lambda notice: warnings.append(notice.message_primary))
    for statement in STATEMENTS:
        site.ask(statement, role=role)
    assert warnings == []
    queued = site.sql("select reason from public.cloudinary_cleanup_queue order by created_at, id")
    assert [row["reason"] for row in queued].count("soft_delete") == 2
    site.sql("delete from public.cloudinary_cleanup_queue")


def test_what_indexes_call_cannot_be_called_by_name(site: Site) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege, match="schema"):
        site.ask("select media_worker.asset_key('image', 'upload', 'a')")
