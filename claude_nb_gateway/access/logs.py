"""Keeps keys, and control characters that clients send, out of the server's log."""

from __future__ import annotations

import contextlib
import logging
import re
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import unquote

from ..connection import KERNEL_KEY_PREFIX
from .keys import KEY_PREFIX

# Of a key its id is kept, since that is what `key list` shows.
_KEY = re.compile(
    rf"({KEY_PREFIX}[0-9a-f]{{12}}_|{KERNEL_KEY_PREFIX}(?:[0-9a-f-]{{36}}_)?)"
    r"[A-Za-z0-9_-]{32,}"
)
# Where a text was cut, a key may have been.
_CUT_KEY = re.compile(rf"({KEY_PREFIX}|{KERNEL_KEY_PREFIX})[A-Za-z0-9_-]*\Z")
# Neither has a place to begin within another match: the time is linear.
_PARAMETER = re.compile(r"[?&]([^?&=\s]*)=")
_VALUE = re.compile(r"[^&\s)\"']+")
_SECRET = re.compile("token|key|auth|secret|password", re.I)
_HIDDEN = "[secret]"

#: So much of each thing that is filled into a message is looked at, and logged.
MOST_FILLED_IN = 2_000
#: The same of a message, and of a traceback, that is whole already.
MOST_WHOLE = 50_000
_FORMATTER = logging.Formatter()


class LogGuard(logging.Filter):
    """Mends what a log handler is about to write.

    A handler that has it writes no key of ours, nothing that an address has as
    ``token=``, and control characters as escapes. What is filled into a message, as
    all that clients send is, stays on one line. Nothing is longer than is good for
    who reads the log, and for the event loop, on which all this happens.
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
    text = _escaped(_cut(text, MOST_FILLED_IN), spared="\t")
    return _without_secrets(text, lambda name: True)


def _mended(text: str) -> str:
    text = _KEY.sub(rf"\1{_HIDDEN}", _escaped(_cut(text, MOST_WHOLE), spared="\n\t"))
    # Jupyter tells its user a `?token=` to begin with, and hides those of clients,
    # unless a client writes it as no program of ours does.
    return _without_secrets(text, lambda name: "%" in name)


def _cut(text: str, most: int) -> str:
    """`text`, or its beginning and how much more there is."""
    if len(text) <= most:
        return text
    begun = _CUT_KEY.sub(rf"\1{_HIDDEN}", text[:most])
    return f"{begun}… ({len(text) - most} characters more)"


def _without_secrets(text: str, looked_at: Callable[[str], bool]) -> str:
    """`text` without what the parameters of addresses, if `looked_at`, keep secret."""
    parts, end = [], 0
    while (found := _PARAMETER.search(text, end)) is not None:
        parts.append(text[end : found.end()])
        end = found.end()
        if looked_at(found[1]) and _SECRET.search(unquote(found[1])):
            value = _VALUE.match(text, end)
            if value is not None and not value[0].endswith(_HIDDEN):
                parts.append(_HIDDEN)
                end = value.end()
    return "".join(parts) + text[end:]


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
