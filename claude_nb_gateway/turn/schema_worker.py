"""Checks JSON schemas, and values against them, in a process that may be killed.

`schemas.SchemaChecker` runs it as a script. Each line on standard input is a question,
``{"schema": TEXT, "value": TEXT or null}``, and is answered by a line,
``{"at": [...], "error": TEXT}``. Without a value the error says why the
schema is not valid, and where; else why the value does not match. It is empty if all is
well.

A schema of a few kilobytes can take hours: a pattern that backtracks, references
that double at each step. So the system ends this process when one question has taken
its seconds of processor time, which also ends it when its parent is gone. It imports
nothing of the package: it must start fast, and has nothing to hide.
"""

import contextlib
import json
import re
import signal
import sys
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

if __name__ == "__main__":
    # jsonschema would import this to check formats, which are not checked here. The
    # import takes two seconds.
    sys.modules["rfc3987_syntax"] = None  # type: ignore[assignment]

from jsonschema import FormatChecker, SchemaError
from jsonschema.exceptions import ValidationError
from jsonschema.validators import Draft202012Validator, extend, validator_for
from referencing import Registry
from referencing.exceptions import Unresolvable

# Deeper values are refused before they come here. Each level takes a few frames.
RECURSION_LIMIT = 5_000
MOST_ERROR_CHARACTERS = 500
MOST_MEMORY_BYTES = 2**30

# A pattern may be valid in JavaScript and not in Python.
NO_FORMATS = FormatChecker(formats=())

TOO_DEEP = "It is nested too deeply."


def _unique_items(
    validator: Any, wanted: Any, instance: Any, schema: Any
) -> Iterator[ValidationError]:
    # The library compares each item with all others.
    if wanted and validator.is_type(instance, "array"):
        texts = {json.dumps(_normal(item), sort_keys=True) for item in instance}
        if len(texts) < len(instance):
            yield ValidationError("Its items are not unique.")


def _pattern(
    validator: Any, pattern: str, instance: Any, schema: Any
) -> Iterator[ValidationError]:
    # Python cannot read all of JavaScript's patterns. Those are not checked.
    readable = _compiled(pattern)
    if readable is None or not validator.is_type(instance, "string"):
        return
    if not readable.search(instance):
        yield ValidationError(f"{instance!r} does not match {pattern!r}")


@lru_cache(maxsize=256)
def _compiled(pattern: str) -> re.Pattern[str] | None:
    with contextlib.suppress(re.error):
        return re.compile(re.sub(r"\(\?<(?![=!])", "(?P<", pattern))
    return None


def _normal(value: Any) -> Any:
    """`value` with equal numbers in the same form."""
    if isinstance(value, list):
        return [_normal(item) for item in value]
    if isinstance(value, dict):
        return {name: _normal(item) for name, item in value.items()}
    whole = isinstance(value, float) and value.is_integer()
    return int(value) if whole else value


@lru_cache(maxsize=64)
def _validator(schema: str) -> Any:
    parsed = json.loads(schema)
    kind = validator_for(parsed, default=Draft202012Validator)
    keywords = {"uniqueItems": _unique_items, "pattern": _pattern}
    own = extend(kind, keywords)  # type: ignore[no-untyped-call]
    # Without this registry the library would fetch references from the network.
    return own(parsed, registry=Registry())


def schema_error(schema: str) -> tuple[list[Any], str]:
    """Where `schema` is not valid, and why; the reason is empty if it is valid."""
    validator = _validator(schema)
    try:
        type(validator).check_schema(validator.schema, format_checker=NO_FORMATS)
    except SchemaError as error:
        return list(error.absolute_path), error.message
    return [], ""


def mismatch(schema: str, value: str) -> str:
    """Why `value`, which should be JSON, does not match `schema`."""
    try:
        parsed = json.loads(value, parse_constant=_no_constant)
    except ValueError:
        return "It is no JSON."
    try:
        error = next(_validator(schema).iter_errors(parsed), None)
    except Unresolvable as unresolvable:
        return f"{unresolvable.ref} leads nowhere."
    except re.error as wrong:
        return f"A pattern of the schema cannot be used: {wrong}."
    return "" if error is None else f"{error.json_path}: {error.message}"


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


def answer(question: dict[str, Any]) -> dict[str, Any]:
    """The answer to one question."""
    at: list[Any] = []
    try:
        if question["value"] is None:
            at, error = schema_error(question["schema"])
        else:
            error = mismatch(question["schema"], question["value"])
    except RecursionError:
        error = TOO_DEEP
    if len(error) > MOST_ERROR_CHARACTERS:
        error = error[:MOST_ERROR_CHARACTERS] + "…"
    return {"at": at, "error": error}


def _bound_memory() -> None:
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        limits = (MOST_MEMORY_BYTES, MOST_MEMORY_BYTES)
        resource.setrlimit(resource.RLIMIT_AS, limits)


def main() -> None:
    """Answer until standard input ends."""
    cpu_seconds = float(sys.argv[1])
    # Ctrl-C in a terminal reaches every process of the group; this one ends with stdin.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # No handler in Python would run within a regular expression: the default one ends
    # the process.
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    sys.setrecursionlimit(RECURSION_LIMIT)
    _bound_memory()
    print("{}", flush=True)
    for line in sys.stdin.buffer:
        signal.setitimer(signal.ITIMER_PROF, cpu_seconds)
        said = json.dumps(answer(json.loads(line)))
        signal.setitimer(signal.ITIMER_PROF, 0)
        print(said, flush=True)


if __name__ == "__main__":
    main()
