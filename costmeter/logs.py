"""The log of the processes that costmeter runs itself: one line an event on standard error, without secrets.

Only `serve`, `gateway` and `scheduler` configure it. The recorder in somebody else's program logs as that program does.
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Mapping
from typing import Any, TextIO

import structlog
from structlog.typing import EventDict, Processor

from costmeter.core.secrets import without_secrets

# What is bound here is on every line of this thread or task: a request's id.
bind = structlog.contextvars.bind_contextvars
bound = structlog.contextvars.bound_contextvars
clear = structlog.contextvars.clear_contextvars

HIDDEN = "***"
_SECRET_NAMES = re.compile(r"authorization|api[-_]?key|password|passwd|secret|credential|cookie", re.IGNORECASE)
_PASSWORD_IN_URL = re.compile(r"(?<=://)([^:@/\s]*):[^@/\s]+(?=@)")
_NAMED_IN_TEXT = re.compile(
    r"(?i)\b(authorization|x-api-key|api[-_]key|password)(['\"]?\s*[:=]\s*['\"]?)(?:\w+\s+)?[^\s,'\"&}]+"
)
# What uvicorn says of an answer that broke off on its way; that it did, and why, the gateway has said by then.
_SAID_ALREADY = "ASGI callable returned without completing response."
# Their news is what we say ourselves.
_NOISY = ("alembic", "apscheduler", "httpcore", "httpx", "httpx2", "psycopg", "urllib3")


def configure(level: str = "info", stream: TextIO | None = None, *, as_json: bool | None = None) -> None:
    """Send every logger of this process, of the standard library or of structlog, to one stream.

    Without `as_json`: JSON, a line an event, unless the stream is a terminal.
    """
    out = stream or sys.stderr
    in_json = not out.isatty() if as_json is None else as_json
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        _redacted,
    ]
    last = structlog.processors.JSONRenderer(ensure_ascii=False) if in_json else structlog.dev.ConsoleRenderer()
    handler = logging.StreamHandler(out)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared, processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, last]
        )
    )
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())
    for name in _NOISY:
        logging.getLogger(name).setLevel(logging.ERROR)
    logging.getLogger("uvicorn.error").addFilter(_is_news)
    logging.captureWarnings(capture=True)


def _is_news(record: logging.LogRecord) -> bool:
    return record.msg != _SAID_ALREADY


def _redacted(_logger: Any, _method: str, event: EventDict) -> EventDict:
    return {name: _without_secrets(name, value) for name, value in event.items()}


def _without_secrets(name: str, value: Any) -> Any:
    """A value as it may be seen: what is named like a secret not at all, else without what looks like one."""
    if name.startswith("_"):  # structlog's own, which is not written
        return value
    if value is not None and _SECRET_NAMES.search(name):
        return HIDDEN
    if isinstance(value, Mapping):
        return {str(key): _without_secrets(str(key), inner) for key, inner in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_without_secrets(name, inner) for inner in value]
    if value is None or isinstance(value, bool | int | float):
        return value
    text = value.decode(errors="replace") if isinstance(value, bytes) else str(value)
    return redact(text)


def redact(text: str) -> str:
    """The text without keys, passwords of URLs, and what follows the name of a secret."""
    without_passwords = _PASSWORD_IN_URL.sub(rf"\1:{HIDDEN}", text)
    return without_secrets(_NAMED_IN_TEXT.sub(rf"\1\2{HIDDEN}", without_passwords))
