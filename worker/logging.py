"""Log lines: JSON for machines, colour for people, and a secret in neither."""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Mapping
from typing import Any, TextIO

import structlog
from structlog.stdlib import BoundLogger, ProcessorFormatter
from structlog.typing import EventDict, Processor, WrappedLogger

# They log job arguments, full URLs or every request; psycopg logs what it raises as well.
QUIET = {
    "procrastinate": logging.WARNING,
    "httpx": logging.WARNING,
    "httpcore": logging.WARNING,
    "boto3": logging.WARNING,
    "botocore": logging.WARNING,
    "s3transfer": logging.WARNING,
    "urllib3": logging.WARNING,
    "psycopg": logging.ERROR,
}
HIDDEN = "***"

# Names are bounded: whoever names things must not make a line take minutes.
_TELLING_NAME = (
    r"(?:passw(?:or)?d|pwd|secret|token|api_?key|signature|credential|authorization)[\w-]{0,64}"
)
_SECRET_KEY = re.compile(_TELLING_NAME, re.IGNORECASE)
_ASSIGNED_SECRET = re.compile(
    rf"""(?P<name>{_TELLING_NAME}(?:["']\s*:|\s*=)\s*)(?P<value>(?P<q>["']).*?(?P=q)|[^\s"',;&)\]}}]+)""",
    re.IGNORECASE,
)
_AUTHORIZATION = re.compile(r"\b(authorization:|bearer|basic)\s+[\w.~+/=-]{12,}", re.IGNORECASE)
_URL = re.compile(
    r"""\b(?P<scheme>[a-z][a-z0-9+.-]{0,30})://(?P<rest>[^\s"'<>`]+)""", re.IGNORECASE
)
# A path alone, as HTTP libraries write it.
_QUERY = re.compile(r"""(?<=[\w/.%~-])\?[\w.~%+\[\]-]+=[^\s"'<>`]*""")


def configure(json: bool | None = None, level: int | str = logging.INFO) -> None:
    """Send every log line of the process to stderr, in one form.

    `json`: a JSON object a line; by default where stderr is no terminal. May be called again.
    """
    as_json = not sys.stderr.isatty() if json is None else json
    handler = _Stderr()
    handler.setFormatter(_formatter(as_json))
    root = logging.getLogger()
    for old in [each for each in root.handlers if isinstance(each.formatter, ProcessorFormatter)]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(level)
    for name, least in QUIET.items():
        logging.getLogger(name).setLevel(least)
    logging.captureWarnings(True)
    structlog.configure(
        processors=_OUR_PROCESSORS,
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=BoundLogger,
    )


def get_logger(name: str) -> BoundLogger:
    """A structured logger over the standard one of that name, so that it is quiet by default."""
    logger: BoundLogger = structlog.wrap_logger(
        logging.getLogger(name), processors=_OUR_PROCESSORS, wrapper_class=BoundLogger
    )
    return logger


def redact(value: Any) -> Any:
    """The same value without query strings, users and passwords of URLs, and named secrets."""
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, Mapping):
        return {str(key): _redact_member(str(key), member) for key, member in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [redact(member) for member in value]
    return _redact_text(value if isinstance(value, str) else str(value))


def redact_event(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """`redact` as a processor of structlog."""
    redacted: EventDict = redact(event)
    return redacted


class _Stderr(logging.StreamHandler[TextIO]):
    """Writes to what is stderr at that moment, as a program that runs us may replace it."""

    def emit(self, record: logging.LogRecord) -> None:
        self.stream = sys.stderr
        super().emit(record)


_SHARED_PROCESSORS: list[Processor] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    structlog.processors.StackInfoRenderer(),
]
_OUR_PROCESSORS: list[Processor] = [
    structlog.stdlib.filter_by_level,
    *_SHARED_PROCESSORS,
    structlog.stdlib.PositionalArgumentsFormatter(),
    ProcessorFormatter.wrap_for_formatter,
]


def _formatter(as_json: bool) -> ProcessorFormatter:
    renderer: Processor = (
        structlog.processors.JSONRenderer()
        if as_json
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    return ProcessorFormatter(
        foreign_pre_chain=_SHARED_PROCESSORS,
        processors=[
            ProcessorFormatter.remove_processors_meta,
            structlog.processors.format_exc_info,
            redact_event,
            renderer,
        ],
    )


def _redact_member(name: str, value: Any) -> Any:
    return HIDDEN if value and _SECRET_KEY.search(name) else redact(value)


def _redact_text(text: str) -> str:
    text = _URL.sub(_bare_url, text)
    text = _QUERY.sub("", text)
    text = _AUTHORIZATION.sub(rf"\1 {HIDDEN}", text)
    return _ASSIGNED_SECRET.sub(rf"\g<name>\g<q>{HIDDEN}\g<q>", text)


def _bare_url(match: re.Match[str]) -> str:
    scheme, rest = match["scheme"], re.split(r"[?#]", match["rest"], maxsplit=1)[0]
    authority, slash, path = rest.partition("/")
    if not scheme.lower().startswith("http"):
        # A password in a connection string may hold a slash that nobody escaped.
        authority, slash, path = rest.rpartition("@")[2], "", ""
    return f"{scheme}://{authority.rpartition('@')[2]}{slash}{path}"
