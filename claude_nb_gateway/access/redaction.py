"""Keeps secrets out of what traitlets logs of the configuration with `--debug`."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from typing import Any

from traitlets.config import Config

HIDDEN = "[hidden]"

_SECRET_NAME = re.compile("token|password|secret|credential|_key$", re.IGNORECASE)
# The password in the address of a database, or among its parameters.
_IN_ADDRESS = re.compile(r"(://[^/@\s]*?:)[^/\s]*(@)|((?:password|passfile)=)[^&\s]*")


def hide_secrets_of_config() -> None:
    """Hide from now on the secrets of a configuration in every log record.

    Each application of traitlets logs its whole configuration. It makes its logger and
    its handler anew at times, so a filter would not stay.
    """
    make = logging.getLogRecordFactory()
    if getattr(make, "hides_secrets", False):
        return

    def made(*args: Any, **kwargs: Any) -> logging.LogRecord:
        """A record without the secrets of a configuration."""
        record = make(*args, **kwargs)
        if isinstance(record.args, Config):
            record.args = (without_secrets(record.args),)
        return record

    made.hides_secrets = True  # type: ignore[attr-defined]
    logging.setLogRecordFactory(made)


def without_secrets(value: Any, name: str = "") -> Any:
    """`value` of the option `name`, without secrets in it."""
    if isinstance(value, Mapping):
        return {key: without_secrets(each, str(key)) for key, each in value.items()}
    if _SECRET_NAME.search(name) and value:
        return HIDDEN
    if isinstance(value, list | tuple):
        return [without_secrets(each) for each in value]
    text = value if isinstance(value, str) else repr(value)
    shown = _IN_ADDRESS.sub(rf"\1\3{HIDDEN}\2", text)
    return value if shown == text else shown
