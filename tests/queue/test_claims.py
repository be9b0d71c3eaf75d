"""Claims: who has a row, and who may write about it."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

import pytest

from tests.queue.site import Row, Site

CLAIM = "select * from media_worker.claim('test', %s, %s, %s)"


def register(site: Site) -> UUID:
    """A worker that is alive."""
    worker = uuid4()
    site.sql("select media_worker.beat(%s, 'host', 1, '1', array['maintenance'], 0)", worker)
    return worker


def claim(site: Site, ids: list[UUID], *, token: UUID | None = None) -> tuple[UUID, list[Row]]:
    """What a worker that has just come takes of the rows."""
    token = token or uuid4()
    return token, site.sql(CLAIM, ids, register(site), token)


def finish(site: Site, token: UUID, ids: list[UUID]) -> Any:
    return site.one(
        "select media_worker.finish('test', %s, %s, 'completed', %s::text[])",
        token, ids, [None] * len(ids),
    )  # fmt: skip


def test_claim_takes_all_the_rows_at_once(site: Site) -> None:
    ids = site.insert("ok", "ok", "ok")
    token, taken = claim(site, [*ids, uuid4()])
    assert {(row["id"], row["attempts"], row["held"]) for row in taken} == {
        (id_, 1, False) for id_ in ids
    }
    assert all(site.is_(id_, status="processing", claim=token) for id_ in ids)


def test_row_is_taken_once(site: Site) -> None:
    ids = site.insert()
    claim(site, ids)
    assert claim(site, ids)[1] == []


def test_row_that_an_open_transaction_holds_is_reported_and_left_alone(site: Site) -> None:
    held, free = site.insert("ok", "ok")
    with site.transaction() as transaction:
        transaction.execute("select from test_work where id = %s for update", [held])
        _, rows = claim(site, [held, free])
    assert {(row["id"], row["held"]) for row in rows} == {(held, True), (free, False)}
    assert site.is_(held, status="pending", attempts=0)


def test_claim_whose_answer_was_lost_may_be_repeated(site: Site) -> None:
    ids = site.insert("ok", "ok")
    token, first = claim(site, ids)
    _, second = claim(site, ids, token=token)
    assert sorted(map(str, first)) == sorted(map(str, second))


@pytest.mark.parametrize(
    "write",
    [
        "select media_worker.finish('test', %s, %s, 'failed', array['no'])",
        "select media_worker.reschedule('test', %s, %s, array[1.0], array['no'], true)",
        "select media_worker.wait_for_service('test', %s, %s, 'storage', 'no', array[1.0])",
        "select media_worker.died_alone('test', %s, (%s::uuid[])[1])",
    ],
)
def test_write_with_another_token_changes_nothing(site: Site, write: str) -> None:
    ids = site.insert()
    claim(site, ids)
    before = site.row(ids[0])
    site.sql(write, uuid4(), ids)
    assert site.row(ids[0]) == before


def test_result_of_a_run_that_lost_its_claim_is_not_recorded(site: Site) -> None:
    ids = site.insert()
    stale, _ = claim(site, ids)
    site.sql("update media_worker.workers set stopped_at = now()")
    assert site.one("select media_worker.rescue()") == 1
    current, _ = claim(site, ids)
    assert finish(site, stale, ids) == 0
    assert site.is_(ids[0], status="processing", claim=current)
    assert finish(site, current, ids) == 1


def test_claim_holds_until_the_lease_is_over_or_the_row_is_gone(site: Site) -> None:
    (row,) = site.insert()
    token, _ = claim(site, [row])
    holds = "select media_worker.holds('test', %s, %s)"
    assert site.one(holds, row, token) is True
    assert site.one(holds, row, uuid4()) is False
    site.sql("update media_worker.workers set last_heartbeat_at = now() - interval '1 hour'")
    site.shorten_lease(seconds=0)
    assert site.one(holds, row, token) is False


def test_finish_of_a_set_is_one_statement_for_each_its_message(site: Site) -> None:
    ids = site.insert("ok", "ok")
    token, _ = claim(site, ids)
    site.sql(
        "select media_worker.finish('test', %s, %s, 'completed', array[null, 'a note'])", token, ids
    )
    assert [site.row(id_)["error_message"] for id_ in ids] == [None, "a note"]


def test_claims_that_their_worker_does_not_know_are_freed(site: Site) -> None:
    stray, known, fresh = site.insert("ok", "ok", "ok")
    worker, token = register(site), uuid4()
    site.sql(CLAIM, [known], worker, token)
    site.sql(CLAIM, [stray], worker, uuid4())
    site.sql(
        "update test_work set started_at = now() - interval '1 minute' where claim is not null"
    )
    site.sql(CLAIM, [fresh], worker, uuid4())
    assert site.one("select media_worker.disown(%s, %s)", worker, [token]) == 1
    assert site.is_(stray, status="pending", claim=None, attempts=0, crashes=0)
    assert site.is_(known, status="processing") and site.is_(fresh, status="processing")
    assert stray in site.queued()


def test_unknown_kind_is_an_error(site: Site) -> None:
    with pytest.raises(Exception, match="unknown kind of work nothing"):
        site.sql("select media_worker.claim('nothing', '{}', %s, %s)", uuid4(), uuid4())
