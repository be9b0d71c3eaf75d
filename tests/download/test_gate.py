"""A host that hangs is left to a few probes, until it answers."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from worker.download import Downloader, HostGate
from worker.errors import Busy, Gone, Permanent, Temporary

from .helpers import policy, read_all
from .origin import Line, Origin, Request, head, reply


def hang(line: Line, request: Request) -> None:
    line.hang()


def hang_in_the_body(line: Line, request: Request) -> None:
    line.send(head(Content_Length="100"), b"x")
    line.hang()


def suspect(gate: HostGate, host: str = "cdn.test") -> bool:
    """Whether a second request at a time is refused."""
    with gate.enter(host):
        try:
            with gate.enter(host):
                return False
        except Busy:
            return True


def test_host_is_suspect_after_failures_in_a_row() -> None:
    gate = HostGate(failures=3, probes=1)
    for _ in range(3):
        assert not suspect(gate)
        gate.failed("cdn.test")
    assert suspect(gate)
    assert not suspect(gate, "other.test")


def test_one_success_makes_it_trusted_again() -> None:
    gate = HostGate(failures=2, probes=1)
    gate.failed("cdn.test")
    gate.succeeded("cdn.test")
    gate.failed("cdn.test")
    assert not suspect(gate)
    gate.failed("cdn.test")
    assert suspect(gate)
    gate.succeeded("cdn.test")
    assert not suspect(gate)


def test_suspect_host_is_probed_by_as_many_as_said() -> None:
    gate = HostGate(failures=1, probes=2)
    gate.failed("cdn.test")
    with (
        gate.enter("cdn.test"),
        gate.enter("cdn.test"),
        pytest.raises(Busy, match=r"cdn\.test is not answering; waiting"),
        gate.enter("cdn.test"),
    ):
        pass
    with gate.enter("cdn.test"), gate.enter("cdn.test"):
        pass


def test_gate_forgets_hosts_that_work() -> None:
    gate = HostGate()
    for number in range(100):
        with gate.enter(f"{number}.test"):
            gate.failed(f"{number}.test")
            gate.succeeded(f"{number}.test")
    assert not gate._hosts


@pytest.mark.parametrize("script", [hang, hang_in_the_body])
def test_hanging_downloads_make_their_host_suspect(script: Callable[[Line, Request], None]) -> None:
    gate = HostGate(failures=2, probes=1)
    with Origin(script) as origin:
        found = Downloader(policy(read_timeout=0.1), gate=gate)
        for _ in range(2):
            assert not suspect(gate, "127.0.0.1")
            with pytest.raises(Temporary):
                read_all(found.open(origin.url()))
    assert suspect(gate, "127.0.0.1")


@pytest.mark.parametrize(
    ("status", "error"),
    [("404 No", Gone), ("400 No", Permanent), ("503 No", Temporary), ("204 No", Permanent)],
)
def test_host_that_answers_is_trusted_whatever_it_says(status: str, error: type[Exception]) -> None:
    gate = HostGate(failures=1, probes=1)
    gate.failed("127.0.0.1")
    with Origin(reply(b"", status)) as origin, pytest.raises(error):
        Downloader(policy(), gate=gate).open(origin.url())
    assert not suspect(gate, "127.0.0.1")


def test_download_that_ends_well_makes_its_host_trusted() -> None:
    gate = HostGate(failures=1, probes=1)
    gate.failed("127.0.0.1")
    with Origin(reply(b"data")) as origin:
        read_all(Downloader(policy(), gate=gate).open(origin.url()))
    assert not suspect(gate, "127.0.0.1")


def test_refused_addresses_are_not_held_against_the_host() -> None:
    gate = HostGate(failures=1, probes=1)
    found = Downloader(policy(), gate=gate, resolve=lambda host, port: ["10.0.0.1"])
    with pytest.raises(Permanent):
        found.open("http://cdn.test/")
    assert not suspect(gate)


def test_a_limited_downloader_takes_less_and_knows_the_same_hosts_as_hanging() -> None:
    gate = HostGate(failures=1, probes=1)
    found = Downloader(policy(read_timeout=0.1), gate=gate)
    with Origin(reply(b"data")) as origin, pytest.raises(Permanent, match="bytes"):
        read_all(found.limited_to(3).open(origin.url()))
    with Origin(hang) as origin, pytest.raises(Temporary):
        read_all(found.limited_to(3).open(origin.url()))
    assert suspect(gate, "127.0.0.1")
