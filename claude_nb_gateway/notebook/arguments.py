"""What the user typed: options on the line, the prompt verbatim. Pure."""

from __future__ import annotations

import io
import re
import shlex
from dataclasses import dataclass

from IPython.core.error import UsageError

# nbval reads these anywhere in a cell; they are not meant for the model.
_NBVAL = re.compile(
    r"^[ \t]*#[# \t]*(NBVAL_[A-Z_]+|PYTEST_VALIDATE_IGNORE_OUTPUT)[ \t]*(\n|$)", re.M
)

_QUESTION = re.compile(r"%claude[ \t]+(\S.*\?)")

OPTIONS = """\
Options:
  -m, --model MODEL    the model to ask
  -s, --system TEXT    what the model is told to be; holds until it is changed
  -n, --new            begin a new conversation
"""

_VALUED = {"-m": "model", "--model": "model", "-s": "system", "--system": "system"}
_FLAGS = {"-n": "new", "--new": "new"}


@dataclass
class Arguments:
    """The options given, and the prompt."""

    prompt: str = ""
    model: str | None = None
    system: str | None = None
    new: bool = False


def parse_cell(line: str, body: str) -> Arguments:
    """Options from `line`, the prompt from `body`.

    Raises
    ------
    UsageError
        An unknown option, one without its value, or no prompt.
    """
    arguments, rest = _options(line)
    if rest:
        raise UsageError(
            f"%%claude: unexpected {rest.split()[0]!r}. The prompt goes into the "
            f"lines below; the first line is for options.\n\n{OPTIONS}"
        )
    # IPython ends every cell with a newline that nobody typed.
    arguments.prompt = _NBVAL.sub("", body.removesuffix("\n"))
    return _with_prompt(arguments, "%%claude", "in the lines below")


def parse_line(line: str) -> Arguments:
    """Options at the start of `line`, the prompt verbatim in the rest of it.

    Raises
    ------
    UsageError
        As `parse_cell`.
    """
    arguments, prompt = _options(line)
    arguments.prompt = prompt
    return _with_prompt(arguments, "%claude", "after it")


def keep_question(lines: list[str]) -> list[str]:
    """Let the prompt of `%claude` end with a question mark.

    An input transformer for IPython, which takes a line that ends with ``?`` for a
    request for help. Only a cell of that one line is changed, since in a longer
    one the line may be part of a string.
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
    # shlex knows quotes; reading one word at a time leaves the rest untouched.
    source = io.StringIO(text)
    words = shlex.shlex(source, posix=True)
    words.whitespace_split = True
    words.commenters = ""
    try:
        word = words.get_token() or ""
    except ValueError as error:
        raise UsageError(f"%claude: {error} in {text!r}.") from None
    return word, text[source.tell() :].lstrip()
