"""What goes wrong at Cloudinary: what counts, what waits, and for whom."""

from __future__ import annotations

import re
import time
from datetime import datetime

import pytest

from tests.cleanup.library import Library
from tests.support.wait import wait_until


def test_three_tries_count_then_it_has_failed(library: Library) -> None:
    library.delete(library.add("cat"))
    library.cloudinary.faults.answer("delete", 400, times=9, message="Invalid public_id")
    library.start()
    library.wait_for_rest()
    deletion = library.deletion("cat")
    assert (deletion["status"], deletion["attempts"]) == ("failed", 3)
    assert "gave up after 3 tries" in deletion["error_message"]
    assert "Invalid public_id" in deletion["error_message"]
    assert library.cloudinary.calls["delete"] == 3
    library.cloudinary.faults.clear()
    assert library.one("select process_cleanup_queue(retry_failed => true)") == 1
    wait_until(lambda: not library.has("cat"))


@pytest.mark.parametrize("kind", ["list", "delete"])
def test_one_asset_that_is_refused_harms_no_other(library: Library, kind: str) -> None:
    files = [library.add(f"n{number}") for number in range(7)]
    library.cloudinary.faults.answer(
        kind, 400, times=99, where=lambda call: "n3" in call.params.entries("public_ids")
    )
    library.sql("delete from media_files where id = any (%s)", files)
    library.work(RETRY_DELAYS="60")
    assert [asset.public_id for asset in library.cloudinary.account.assets] == ["n3"]
    assert library.deletion("n3")["attempts"] == 1


@pytest.mark.parametrize("fault", ["500", "503", "502", "cut"])
def test_outages_are_waited_for_and_do_not_count(library: Library, fault: str) -> None:
    library.delete(library.add("cat"))
    faults = library.cloudinary.faults
    if fault == "cut":
        faults.cut("delete", times=5)
    else:
        faults.answer("list", int(fault), times=5)
    library.start()
    library.wait_for_rest()
    assert not library.has("cat")
    assert library.deletion("cat")["attempts"] == 1


def test_a_cut_deletion_is_not_sent_again_unasked(library: Library) -> None:
    library.delete(library.add("cat"))
    library.cloudinary.faults.cut("delete", times=9, after_effect=True)
    library.work(RETRY_DELAYS="60")
    assert library.cloudinary.calls["delete"] == 1


@pytest.mark.parametrize("status", [401, 403])
def test_refused_keys_are_an_outage_that_names_the_settings(library: Library, status: int) -> None:
    library.delete(library.add("cat"))
    library.cloudinary.faults.answer("admin", status, times=1)
    library.work(RETRY_DELAYS="60")
    deletion = library.deletion("cat")
    assert (deletion["status"], deletion["attempts"]) == ("pending", 0)
    assert "CLOUDINARY_API_SECRET" in deletion["error_message"]
    assert library.one("select service from media_worker.outages") == "cloudinary"


@pytest.mark.parametrize("status", [420, 429])
def test_a_reached_limit_is_waited_for_and_does_not_count(library: Library, status: int) -> None:
    library.delete(library.add("cat"))
    library.cloudinary.faults.limit(0, period=3.0, status=status)
    library.start()
    library.wait_for("select error_message like '%%rate limit%%' from cloudinary_cleanup_queue")
    reset = library.cloudinary.budget.reset_at
    calls = library.cloudinary.calls.admin
    library.cloudinary.budget.set(100, period=max(1.0, reset - time.time()))
    library.wait_for_rest()
    assert time.time() >= reset
    assert not library.has("cat")
    assert library.deletion("cat")["attempts"] == 1
    assert calls == 1


def test_nothing_is_called_when_the_budget_is_used_up(library: Library) -> None:
    library.delete(library.add("one"))
    library.cloudinary.faults.limit(2)
    library.work()
    assert not library.has("one")
    library.delete(library.add("two"))
    library.work()
    library.delete(library.add("three"))
    library.work()
    assert library.has("two") and library.has("three")
    assert library.cloudinary.calls.admin == 2
    assert library.one("select remaining from media_worker.api_budgets") == 0
    waits = library.sql("select next_attempt_at - now() > '50 min' as ok, attempts"
                        " from cloudinary_cleanup_queue where status = 'pending'")  # fmt: skip
    assert waits == [{"ok": True, "attempts": 0}] * 2


def test_a_reached_limit_is_one_line_in_the_log(library: Library) -> None:
    for number in range(5):
        library.delete(library.add(f"cat{number}"))
        library.delete(library.add(f"song{number}", resource_type="video"))
    library.cloudinary.faults.limit(0, period=900.0)
    log = library.work().log
    assert library.one("select count(*) from cloudinary_cleanup_queue"
                       " where error_message like '%%rate limit%%'") == 10  # fmt: skip
    (line,) = (line for line in log.splitlines() if "rate limit" in line)
    assert "warning" in line
    (said,) = re.findall(r"waiting_until\W+(\S+?Z)", line)
    reset = datetime.fromisoformat(said).timestamp()
    assert abs(reset - library.cloudinary.budget.reset_at) < 5


def test_deletions_wait_while_cloudinary_is_not_configured(library: Library) -> None:
    library.delete(library.add("cat"))
    library.work(CLOUDINARY_URL="")
    deletion = library.deletion("cat")
    assert (deletion["status"], deletion["attempts"]) == ("pending", 0)
    library.work()
    assert not library.has("cat")


def test_a_killed_worker_loses_no_deletion(library: Library) -> None:
    library.delete(library.add("cat"))
    hold = library.cloudinary.faults.hold("delete", after_effect=True)
    worker = library.start()
    assert hold.reached.wait(20)
    worker.kill()
    hold.release()
    library.sql("update media_worker.workers set last_heartbeat_at = '2000-01-01'")
    library.start()
    library.wait_for_rest(timeout=40)
    assert library.deletion("cat")["status"] == "completed"


def test_no_secret_is_in_a_log_or_a_message(library: Library) -> None:
    library.delete(library.add("cat"))
    library.cloudinary.faults.answer("delete", 400, message="no")
    worker = library.work(RETRY_DELAYS="60")
    message = library.deletion("cat")["error_message"]
    for secret in (library.cloudinary.api_secret, library.cloudinary.api_key):
        assert secret not in worker.log + message


def test_a_worker_for_which_cloudinary_is_off_passes_deletions_over_in_peace(
    library: Library,
) -> None:
    storage = {
        "STORAGE_ENDPOINT": "http://127.0.0.1:1",
        "STORAGE_ACCESS_KEY_ID": "id",
        "STORAGE_SECRET_ACCESS_KEY": "secret",
    }
    library.delete(library.add("cat"))
    worker = library.start(CLOUDINARY_URL="", **storage)
    worker.wait_for_log("stays pending")
    worker.terminate()
    assert '"level": "error"' not in worker.log
    assert library.deletion("cat")["attempts"] == 0
    library.start(CLEANUP_INTERVAL="1")
    wait_until(lambda: not library.has("cat"))


def test_deletions_that_turn_out_pointless_do_not_prolong_an_outage(library: Library) -> None:
    library.sql("select pause_queue('cleanup')")
    for number in range(4):
        file = library.add(f"n{number}")
        library.delete(file)
        library.insert(library.cloudinary.account.assets[-1])
    library.delete(library.add("cat"))
    library.sql("update cloudinary_cleanup_queue set due_by = now() - interval '1 hour'"
                " where public_id = 'cat'")  # fmt: skip
    library.cloudinary.faults.cut("list", times=2)
    library.sql("select resume_queue('cleanup')")
    library.sql("update media_worker.work_kinds set ids_per_job = 1 where kind = 'asset_cleanup'")
    library.start()
    library.wait_for("select exists (select from media_worker.outages)")
    library.sql("update cloudinary_cleanup_queue set due_by = now() where public_id = 'cat'")
    library.wait_for_rest(timeout=40)
    assert not library.has("cat")
    assert len(library.cloudinary.account) == 4
