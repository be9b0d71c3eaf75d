"""Log lines as they come out of the process."""

from __future__ import annotations

import json
import logging
import time
import warnings
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
import structlog
from structlog.stdlib import ProcessorFormatter

from worker.logging import configure, get_logger, redact

SIGNED = "https://s3.example.org/bucket/key.mp3?X-Amz-Credential=AKIA&X-Amz-Signature=5ec4e7"

Lines = Callable[[], list[dict[str, Any]]]


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    root = logging.getLogger()
    level = root.level
    yield
    root.setLevel(level)
    for handler in list(root.handlers):
        if isinstance(handler.formatter, ProcessorFormatter):
            root.removeHandler(handler)
    logging.captureWarnings(False)
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


@pytest.fixture
def lines(capsys: pytest.CaptureFixture[str]) -> Lines:
    configure(json=True, level="DEBUG")
    return lambda: [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def test_line_is_an_object_with_event_level_logger_and_utc_time(lines: Lines) -> None:
    get_logger("worker.somewhere").info("archived", bytes=5)
    (line,) = lines()
    assert line.items() >= {
        "event": "archived", "bytes": 5, "level": "info", "logger": "worker.somewhere",
    }.items()  # fmt: skip
    assert line["timestamp"].endswith("Z")
    age = datetime.now(UTC) - datetime.fromisoformat(line["timestamp"])
    assert abs(age.total_seconds()) < 60


def test_context_of_the_task_is_in_every_line(lines: Lines) -> None:
    with structlog.contextvars.bound_contextvars(job=7):
        get_logger("a").info("one")
        logging.getLogger("b").info("two")
    assert [line["job"] for line in lines()] == [7, 7]


def test_lines_of_other_libraries_look_the_same(lines: Lines) -> None:
    logging.getLogger("somebody").warning("lost %s of %d", "one", 2)
    (line,) = lines()
    assert (line["event"], line["level"], line["logger"]) == (
        "lost one of 2",
        "warning",
        "somebody",
    )


def test_structlog_itself_writes_the_same_lines(lines: Lines) -> None:
    structlog.get_logger("worker.x").info("seen", url=SIGNED)
    (line,) = lines()
    assert (line["event"], line["url"]) == ("seen", "https://s3.example.org/bucket/key.mp3")


@pytest.mark.parametrize(
    "name", ["procrastinate.worker", "httpx", "botocore.auth", "urllib3.connectionpool"]
)
def test_talkative_libraries_are_quiet_below_warning(lines: Lines, name: str) -> None:
    logging.getLogger(name).info("Starting job archive[1](ids=[1, 2])")
    logging.getLogger(name).debug("CanonicalRequest")
    assert lines() == []
    logging.getLogger(name).warning("trouble")
    assert [line["event"] for line in lines()] == ["trouble"]


def test_signed_url_loses_its_query_wherever_it_stands(lines: Lines) -> None:
    log = get_logger("worker")
    log.info(f"fetching {SIGNED}", url=SIGNED, nested={"urls": [SIGNED]}, error=ValueError(SIGNED))
    logging.getLogger("other").warning("failed: %s", SIGNED)
    try:
        raise RuntimeError(f"cannot read {SIGNED}")
    except RuntimeError:
        log.exception("failed")
        logging.getLogger("other").exception("failed")
    seen = lines()
    assert len(seen) == 4
    assert "5ec4e7" not in json.dumps(seen)
    assert "AKIA" not in json.dumps(seen)
    assert json.dumps(seen).count("https://s3.example.org/bucket/key.mp3") >= 6


def test_warning_of_python_is_a_line_too(lines: Lines) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(True)
        warnings.warn("old: " + SIGNED, stacklevel=1)
    (line,) = lines()
    assert line["logger"] == "py.warnings"
    assert "5ec4e7" not in line["event"]


def test_configuring_twice_writes_each_line_once(lines: Lines) -> None:
    configure(json=True)
    get_logger("worker").info("once")
    assert len(lines()) == 1


def test_level_is_respected(lines: Lines, capsys: pytest.CaptureFixture[str]) -> None:
    configure(json=True, level=logging.WARNING)
    get_logger("worker").info("small talk")
    assert lines() == []


def test_people_get_text_and_no_secret_either(capsys: pytest.CaptureFixture[str]) -> None:
    configure(json=False)
    try:
        raise RuntimeError(f"cannot read {SIGNED}")
    except RuntimeError:
        get_logger("worker").exception("failed", password="hunter2")
    text = capsys.readouterr().err
    assert "failed" in text
    assert "RuntimeError" in text
    assert "5ec4e7" not in text
    assert "hunter2" not in text


def test_json_is_the_default_where_no_terminal_is(capsys: pytest.CaptureFixture[str]) -> None:
    configure()
    get_logger("worker").info("hello")
    assert json.loads(capsys.readouterr().err)["event"] == "hello"


def test_unconfigured_logger_says_nothing_on_standard_output(
    capsys: pytest.CaptureFixture[str],
) -> None:
    get_logger("worker.unconfigured").warning("hello")
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("postgresql://user:pass@db:5432/music", "postgresql://db:5432/music"),
        ("postgresql://user:p/a@s:s@db/music?sslmode=require", "postgresql://db/music"),
        ("cloudinary://123:shh@cloud", "cloudinary://cloud"),
        ("GET https://u:p@host/a@b#frag now", "GET https://host/a@b now"),
        ("(see https://host/key?sig=abc)", "(see https://host/key"),
        ('"GET /bucket/key?X-Amz-Signature=abc HTTP/1.1" 403', '"GET /bucket/key HTTP/1.1" 403'),
        ("host=db password=hunter2 user=me", "host=db password=*** user=me"),
        ("password='a b' dbname=x", "password='***' dbname=x"),
        ("{'api_secret': 'shh', 'n': 1}", "{'api_secret': '***', 'n': 1}"),
        ("STORAGE_SECRET_ACCESS_KEY=abc/def+g", "STORAGE_SECRET_ACCESS_KEY=***"),
        ("Authorization: Bearer eyJhbGciOi.J9.x", "Authorization: Bearer ***"),
        ("why? because=of this", "why? because=of this"),
        ("set STORAGE_ENDPOINT to https://host", "set STORAGE_ENDPOINT to https://host"),
        ("nothing to hide: 3 of 4 tokens", "nothing to hide: 3 of 4 tokens"),
    ],
)
def test_redaction(text: str, expected: str) -> None:
    assert redact(text) == expected


def test_secret_named_by_its_key_is_hidden_and_the_rest_kept() -> None:
    event = {"jwt_secret": "abc", "token": None, "n": 3, "ok": True, "parts": ("a", 1.5)}
    assert redact(event) == {
        "jwt_secret": "***", "token": None, "n": 3, "ok": True, "parts": ["a", 1.5],
    }  # fmt: skip


@pytest.mark.parametrize("word", ["a", "a-", "secret-", "http-"])
def test_a_long_word_takes_no_time(word: str) -> None:
    text = word * (20_000 // len(word))
    began = time.monotonic()
    assert redact(text) == text
    assert time.monotonic() - began < 1
