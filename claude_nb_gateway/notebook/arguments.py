"""Parses what the user typed: options on the line, and the verbatim prompt. Pure."""

from __future__ import annotations

import io
import re
import shlex
from dataclasses import dataclass

from IPython.core.error import UsageError

# nbval reads these comments anywhere in a cell. They are not for the model.
_NBVAL = re.compile(
    r"^[ \t]*#[# \t]*(NBVAL_[A-Z_]+|PYTEST_VALIDATE_IGNORE_OUTPUT)[ \t]*(\n|$)", re.M
)

_QUESTION = re.compile(r"%claude[ \t]+(\S.*\?)")

OPTIONS = """\
Options:
  -m, --model MODEL    the model to ask
  -s, --system TEXT    the system prompt; it stays until it is changed
  -n, --new            start a new conversation
"""

_VALUED = {"-m": "model", "--model": "model", "-s": "system", "--system": "system"}
_FLAGS = {"-n": "new", "--new": "new"}


@dataclass
class Arguments:
    """The options and the prompt."""

    prompt: str = ""
    model: str | None = None
    system: str | None = None
    new: bool = False


def parse_cell(line: str, body: str) -> Arguments:
    """Parse the options in `line`; the prompt is `body`.

    Raises
    ------
    UsageError
        There is an unknown option, an option without its value, or no prompt.
    """
    arguments, rest = _options(line)
    if rest:
        raise UsageError(
            f"%%claude: unexpected {rest.split()[0]!r}. The prompt goes into the "
            f"lines below; the first line is for options.\n\n{OPTIONS}"
        )
    # IPython adds a newline at the end of every cell.
    arguments.prompt = _NBVAL.sub("", body.removesuffix("\n"))
    return _with_prompt(arguments, "%%claude", "in the lines below")


def parse_line(line: str) -> Arguments:
    """Parse the options at the start of `line`; the rest of it is the prompt.

    Raises
    ------
    UsageError
        See `parse_cell`.
    """
    arguments, prompt = _options(line)
    arguments.prompt = prompt
    return _with_prompt(arguments, "%claude", "after it")


def keep_question(lines: list[str]) -> list[str]:
    """Let the prompt of `%claude` end with a question mark.

    This is an input transformer for IPython. Without it IPython shows help for a line
    that ends with ``?``. Only a cell with this one line is changed: in a longer cell
    the line may be part of a string.
    """
    text = "".join(lines).strip()
    match = _QUESTION.fullmatch(text)
    if match is None:
        return lines
    return [f"get_ipython().run_line_magic('claude', {match[1]!r})\n"]


def _with_prompt(arguments: Arguments, magic: str, where: str) -> Arguments:
    if not arguments.prompt.strip():
        raise UsageError(f"{magic} needs a prompt {where}.\n\n{OPTIONS}")
    return arguments


def _options(line: str) -> tuple[Arguments, str]:
    arguments = Arguments()
    rest = line.strip()
    while rest.startswith("-"):
        word, after = _next_word(rest)
        name, equals, value = word.partition("=")
        if word in _FLAGS:
            setattr(arguments, _FLAGS[word], True)
        elif name not in _VALUED:
            raise UsageError(f"%claude has no option {name!r}.\n\n{OPTIONS}")
        else:
            if not equals:
                value, after = _next_word(after)
            if not value:
                raise UsageError(f"%claude: {name} needs a value.\n\n{OPTIONS}")
            setattr(arguments, _VALUED[name], value)
        rest = after
    return arguments, rest


def _next_word(text: str) -> tuple[str, str]:
    # shlex understands quotes. Reading only one word leaves the rest as it is.
    source = io.StringIO(text)
    words = shlex.shlex(source, posix=True)
    words.whitespace_split = True
    words.commenters = ""
    try:
        word = words.get_token() or ""
    except ValueError as error:
        raise UsageError(f"%claude: {error} in {text!r}.") from None
    return word, text[source.tell() :].lstrip()
