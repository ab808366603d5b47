"""Keeps keys, and control characters from clients, out of the server's log."""

from __future__ import annotations

import contextlib
import logging
import re
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import unquote

from ..connection import KERNEL_KEY_PREFIX
from .keys import KEY_PREFIX

# The id of a key stays in the log: `key list` shows it.
_KEY = re.compile(
    rf"({KEY_PREFIX}[0-9a-f]{{12}}_|{KERNEL_KEY_PREFIX}(?:[0-9a-f-]{{36}}_)?)"
    r"[A-Za-z0-9_-]{32,}"
)
# A key at the end of a text that was cut.
_CUT_KEY = re.compile(rf"({KEY_PREFIX}|{KERNEL_KEY_PREFIX})[A-Za-z0-9_-]*\Z")
# A match of these cannot begin within another match, so the time is linear.
_PARAMETER = re.compile(r"[?&]([^?&=\s]*)=")
_VALUE = re.compile(r"[^&\s)\"']+")
_SECRET = re.compile("token|key|auth|secret|password", re.I)
_HIDDEN = "[secret]"

#: Maximum number of characters of each argument of a message; the rest is not logged.
MOST_FILLED_IN = 2_000
#: The same for a whole message and for a traceback.
MOST_WHOLE = 50_000
_FORMATTER = logging.Formatter()


class LogGuard(logging.Filter):
    """Mends the records that a log handler writes.

    The handler then writes no key of the gateway and no value of a ``token=`` in a URL.
    It writes control characters as escapes. Each argument of a message stays on one
    line; all text from clients is such an argument. Long texts are cut, for the reader
    of the log and for the event loop, on which all this happens.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Mend `record`; returns True, so that it is always written."""
        # The handler itself reports a record that cannot be formatted.
        with contextlib.suppress(TypeError, ValueError, KeyError):
            record.msg, record.args = _mended(_message(record)), ()
        if record.exc_info and record.exc_info[0] is not None and not record.exc_text:
            record.exc_text = _FORMATTER.formatException(record.exc_info)
        if record.exc_text:
            record.exc_text = _mended(record.exc_text)
        return True


class _Argument:
    """An argument of a message, mended when it is formatted."""

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
    # A message may have a number format for a number.
    return value if isinstance(value, int | float) else _Argument(value)


def _on_one_line(text: str) -> str:
    text = _escaped(_cut(text, MOST_FILLED_IN), spared="\t")
    return _without_secrets(text, lambda name: True)


def _mended(text: str) -> str:
    text = _KEY.sub(rf"\1{_HIDDEN}", _escaped(_cut(text, MOST_WHOLE), spared="\n\t"))
    # At its start Jupyter tells its user a `?token=`, which must stay. Jupyter itself
    # hides those in clients' requests, except if a client percent-encodes the name.
    return _without_secrets(text, lambda name: "%" in name)


def _cut(text: str, most: int) -> str:
    """`text`, or its beginning and the number of characters that were cut."""
    if len(text) <= most:
        return text
    begun = _CUT_KEY.sub(rf"\1{_HIDDEN}", text[:most])
    return f"{begun}… ({len(text) - most} characters more)"


def _without_secrets(text: str, looked_at: Callable[[str], bool]) -> str:
    """`text` without the values of secret parameters in URLs, if `looked_at`."""
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
    """Add a `LogGuard` to every handler that writes the records of `log`."""
    logger = log.logger if isinstance(log, logging.LoggerAdapter) else log
    while logger is not None:
        for handler in logger.handlers:
            if not any(isinstance(each, LogGuard) for each in handler.filters):
                handler.addFilter(LogGuard())
        logger = logger.parent if logger.propagate else None
