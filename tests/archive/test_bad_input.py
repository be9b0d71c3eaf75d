"""Whatever a provider's URL leads to: a clear message, nothing stored, and the others go on."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.archive.conftest import Archive
from worker.demo.behaviour import Behaviour, page, redirect, refusal
from worker.demo.bodies import Bytes, GeneratedMp3
from worker.demo.provider import Provider

SECRET = "?signature=s3cr3t"
PRIVATE = "not a public address"

# what the URL is, the status that the job ends its first run with, words of its message
Case = tuple[Callable[[Provider], str], str, str]
CASES: dict[str, Case] = {
    "no URL": (lambda p: "not a url", "failed", ""),
    "blank": (lambda p: " ", "failed", ""),
    "ftp": (lambda p: "ftp://files.example.com/a.mp3", "failed", ""),
    "file": (lambda p: "file:///etc/passwd", "failed", ""),
    "javascript": (lambda p: "javascript:alert(1)", "failed", ""),
    "no host": (lambda p: "http:///a.mp3", "failed", ""),
    "private": (lambda p: "http://10.1.2.3/a.mp3", "failed", PRIVATE),
    "metadata service": (lambda p: "http://169.254.169.254/latest", "failed", PRIVATE),
    "redirect to private": (
        lambda p: p.serve("/redirect", redirect("http://192.168.1.1/a.mp3")), "failed", PRIVATE,
    ),
    "redirect for ever": (
        lambda p: p.serve("/loop", redirect("/loop")), "failed", "redirect",
    ),
    "page": (lambda p: p.serve("/page", page()), "failed", ""),
    "JSON": (
        lambda p: p.serve("/json", Behaviour(Bytes(b'{"error": 1}', "application/json"))),
        "failed", "",
    ),
    "empty": (lambda p: p.serve("/empty", Behaviour(Bytes(b"", "audio/mpeg"))), "failed", ""),
    "gzip": (lambda p: p.serve("/gzip", Behaviour(gzipped=True)), "failed", ""),
    "over the cap": (lambda p: p.url("/generated/1/3000000.mp3"), "failed", ""),
    "endless": (lambda p: p.serve("/endless", Behaviour(GeneratedMp3(2, None))), "failed", ""),
    "truncated": (
        lambda p: p.serve("/cut", Behaviour(cut_after=5000, ranges=False)), "pending", "",
    ),
    "too long a promise": (
        lambda p: p.serve("/lie", Behaviour(declared_length=90_000_0, ranges=False)), "pending", "",
    ),
    "cut without length": (
        lambda p: p.serve("/close", Behaviour(framing="chunked", cut_after=5000, ranges=False)),
        "pending", "",
    ),
    "refused": (lambda p: p.serve("/teapot", refusal(418)), "failed", "418"),
}  # fmt: skip


def test_bad_sources_fail_clearly_and_harm_no_others(archive: Archive) -> None:
    provider = archive.provider
    tracks = {
        name: archive.insert_track(make(provider), title=name)
        for name, (make, _, _) in CASES.items()
    }
    good = archive.insert_track(provider.url("/ok/melody.mp3"))
    worker = archive.work(DOWNLOAD_MAX_BYTES="1000000", RETRY_DELAYS="600")
    jobs = {name: archive.job(track) or {} for name, track in tracks.items()}
    ends = {name: job["status"] for name, job in jobs.items()}
    assert ends == {name: status for name, (_, status, _) in CASES.items()}
    for name, (_, _, words) in CASES.items():
        message = jobs[name]["error_message"]
        assert message and words in message, (name, message)
    assert archive.keys("audio") == [f"{archive.track(good)['user_id']}/{good}.mp3"]
    assert archive.s3.open_uploads(archive.buckets["audio"]) == []
    assert worker.returncode == 1


@pytest.mark.parametrize("status", [404, 503])
def test_no_message_and_no_log_carries_a_signature(archive: Archive, status: int) -> None:
    url = archive.provider.serve("/a.mp3", refusal(status))
    track = archive.insert_track(url + SECRET)
    worker = archive.work(RETRY_DELAYS="600")
    job = archive.job(track) or {}
    assert "s3cr3t" not in job["error_message"]
    assert "s3cr3t" not in worker.log
