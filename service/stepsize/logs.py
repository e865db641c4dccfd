"""Logging: structlog for our own lines, the standard library's loggers through the same renderer, all on stderr.

A terminal gets coloured lines, anything else one JSON object a line.
"""

import logging
import sys

import structlog
from structlog.typing import Processor

QUIET = ("uvicorn", "uvicorn.error", "alembic", "httpx", "httpcore")
"""Libraries whose INFO lines say nothing a user of the service needs."""


def configure_logs(level: str) -> None:
    """Set up logging for this process; call it once, at start.

    Args:
        level: DEBUG, INFO, WARNING or ERROR.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_formatter(terminal=sys.stderr.isatty()))
    logging.basicConfig(handlers=[handler], level=level.upper(), force=True)
    for name in QUIET:
        logging.getLogger(name).setLevel(max(logging.WARNING, logging.getLogger().level))
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *_shared_processors(),
            structlog.processors.StackInfoRenderer(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )


def _shared_processors() -> list[Processor]:
    return [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]


def _formatter(*, terminal: bool) -> structlog.stdlib.ProcessorFormatter:
    rendering: list[Processor] = (
        # Plain tracebacks: structlog's default prints every local through rich, 10 s of a frozen process for one error.
        [structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)]
        if terminal
        else [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    )
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=_shared_processors(),
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *rendering],
    )
