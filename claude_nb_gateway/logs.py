"""Keeps keys, and control characters that clients send, out of the server's log."""

from __future__ import annotations

import contextlib
import logging
import re
from collections.abc import Mapping
from typing import Any

from .connection import KERNEL_KEY_PREFIX
from .store.keys import KEY_PREFIX

# Of a key its id is kept, since that is what `key list` shows.
_KEY = re.compile(
    rf"({KEY_PREFIX}[0-9a-f]{{12}}_|{KERNEL_KEY_PREFIX}(?:[0-9a-f-]{{36}}_)?)"
    r"[A-Za-z0-9_-]{32,}"
)
_IN_QUERY = re.compile(
    r"([?&][^=&\s]*(?:token|key|auth|secret|password)[^=&\s]*=)[^&\s)\"']+", re.I
)
_FORMATTER = logging.Formatter()


class LogGuard(logging.Filter):
    """Mends what a log handler is about to write.

    A handler that has it writes no key of ours, nothing that an address has as
    ``token=``, and control characters as escapes. What is filled into a message, as
    all that clients send is, stays on one line.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Mend `record`; it is always written."""
        # What cannot be formatted is for the handler to report.
        with contextlib.suppress(TypeError, ValueError, KeyError):
            record.msg, record.args = _mended(_message(record)), ()
        if record.exc_info and record.exc_info[0] is not None and not record.exc_text:
            record.exc_text = _FORMATTER.formatException(record.exc_info)
        if record.exc_text:
            record.exc_text = _mended(record.exc_text)
        return True


class _Argument:
    """What is filled into a message, mended when it is."""

    def __init__(self, value: object) -> None:
        self._value = value

    def __str__(self) -> str:
        return _on_one_line(str(self._value))

    def __repr__(self) -> str:
        return _on_one_line(repr(self._value))


def _message(record: logging.LogRecord) -> str:
    text, arguments = str(record.msg), record.args
    if not arguments:
        return text
    if isinstance(arguments, Mapping):
        return text % {name: _guarded(value) for name, value in arguments.items()}
    return text % tuple(map(_guarded, arguments))


def _guarded(value: Any) -> Any:
    # Numbers have formats of their own.
    return value if isinstance(value, int | float) else _Argument(value)


def _on_one_line(text: str) -> str:
    return _IN_QUERY.sub(r"\1[secret]", _escaped(text, spared="\t"))


def _mended(text: str) -> str:
    return _KEY.sub(r"\1[secret]", _escaped(text, spared="\n\t"))


def _escaped(text: str, spared: str) -> str:
    if text.isprintable():
        return text
    return "".join(
        character
        if character.isprintable() or character in spared
        else character.encode("unicode_escape").decode()
        for character in text
    )


def guard(log: logging.Logger | logging.LoggerAdapter[Any]) -> None:
    """Let whatever `log` is written by have a guard."""
    logger = log.logger if isinstance(log, logging.LoggerAdapter) else log
    while logger is not None:
        for handler in logger.handlers:
            if not any(isinstance(each, LogGuard) for each in handler.filters):
                handler.addFilter(LogGuard())
        logger = logger.parent if logger.propagate else None
