"""`media-worker migrate` and the whole job on every version of PostgreSQL that is promised."""

from __future__ import annotations

import pytest

from tests.environments.team import Kind, Start, basic_flow, connect
from tests.support.process import Processes
from tests.support.versions import server_of


@pytest.mark.parametrize("version", [15, 16, 17, 18])
def test_the_command_migrates_and_everything_works(
    version: int, tmp_path_factory: pytest.TempPathFactory, processes: Processes, start: Start
) -> None:
    with server_of(version, tmp_path_factory.mktemp("pg")) as server:
        env = {"DATABASE_URL": server.url}
        first = processes.media_worker("migrate", env=env)
        assert first.wait() == 0
        assert "applied: repeatable" in first.log
        check = processes.media_worker("migrate", "--check", env=env)
        assert check.wait() == 0
        assert "the schema is up to date" in check.log
        with connect(server.url) as connection:
            assert connection.info.server_version // 10000 == version
        basic_flow(start(server.url, Kind()))
