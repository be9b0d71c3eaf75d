"""What is left to do for rows that were there before, once the schema is up to date."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from psycopg import Connection

from worker.db.runner import Runner

FUNCTION = "media_worker.after_migrate()"
REPORT_EVERY = 10  # steps of up to 1,000 rows

# The same for psql, each step in a transaction of its own as well.
AFTERWARDS = f"""-- rows that were there before
do $afterwards$
begin
    if pg_catalog.to_regprocedure('{FUNCTION}') is not null then
        while {FUNCTION} > 0 loop
            commit;
        end loop;
    end if;
end
$afterwards$;
"""


def catch_up(connection: Connection[Any], runner: Runner, progress: Callable[[str], None]) -> None:
    """Take care of older rows, step by step, each in a transaction of its own.

    Workers do the same in the background, so what another one has at that moment is left to it.
    Raises `MigrationFailed` where the rows are locked for long.
    """
    found = connection.execute("select pg_catalog.to_regprocedure(%s)", [FUNCTION]).fetchone()
    if found is None or found[0] is None:
        return
    steps = total = 0
    while done := runner.value(f"select {FUNCTION}", name="rows that were there before"):
        steps, total = steps + 1, total + done
        if steps % REPORT_EVERY == 0:
            progress(f"rows that were there before: {total:,} done so far")
