"""The fields of a request: honoured, without effect, or refused.

Each kind of request has one `Fields`, which decodes it and documents it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Generic, Literal, NamedTuple, TypeVar

import msgspec

from ..claude_code.surrogates import repaired_json
from ..errors import InvalidRequest, cut

#: The documentation of the field `model`, in all APIs.
MODEL = (
    "a name of `GET /v1/models` or any other of Claude's (`claude-…`), with or without "
    "`anthropic/` and the like before it; none is Claude Code's own default, or "
    "`ModelCatalog.default_model`"
)

#: Python handles nested values by recursion, and its stack is limited.
MOST_DEPTH = 200

# An error message may quote the value, so it is cut.
MOST_REASON = 200

#: Ranges of numbers in all APIs, also of fields without effect.
Temperature = Annotated[float, msgspec.Meta(ge=0, le=2)]
Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
Penalty = Annotated[float, msgspec.Meta(ge=-2, le=2)]
Bias = Annotated[float, msgspec.Meta(ge=-100, le=100)]
AtLeastOne = Annotated[int, msgspec.Meta(ge=1)]
NotNegative = Annotated[int, msgspec.Meta(ge=0)]

#: OpenAI's levels of effort.
ReasoningEffort = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]

#: Names, ids and paths. They may be longer than in OpenAI's API, since clients also
#: send ids of other services.
Name = Annotated[str, msgspec.Meta(max_length=512)]
PathText = Annotated[str, msgspec.Meta(max_length=4_096)]

Request = TypeVar("Request", bound=msgspec.Struct)


class Refusal(NamedTuple):
    """A field that is refused for the values of which `refused` is true."""

    refused: Callable[[Any], bool]
    remedy: str


@dataclass(frozen=True)
class Fields(Generic[Request]):
    """The fields of the request `type`, each of one of three kinds.

    Parameters
    ----------
    honoured:
        What each field does.
    without_effect:
        Accepted, but the CLI has no way to do it.
    refused:
        Answered by an error.
    """

    type: type[Request]
    honoured: Mapping[str, str]
    without_effect: tuple[str, ...] = ()
    refused: Mapping[str, Refusal] = field(default_factory=dict)

    def decode(self, body: bytes) -> Request:
        """Read and check a request.

        Raises
        ------
        InvalidRequest
            Not JSON, a field of the wrong type, or one that cannot be honoured;
            `param` is the path of the field.
        """
        try:
            request = self._read(body)
        except msgspec.ValidationError as error:
            text, path = text_and_path(error)
            name = path.lstrip(".") or _missing_field(text)
            where = f"`{name}`: " if name else ""
            raise InvalidRequest(f"{where}{text}.", param=name or None) from None
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise InvalidRequest(
                f"The body is not valid JSON: {error}.", code="invalid_json"
            ) from None
        for name, (refused, remedy) in self.refused.items():
            value = getattr(request, name)
            if value is not None and refused(value):
                raise InvalidRequest(
                    f"`{name}`: {remedy}", param=name, code="unsupported_parameter"
                )
        return request

    def _read(self, body: bytes) -> Request:
        try:
            return msgspec.json.decode(body, type=self.type)
        except msgspec.ValidationError:
            raise
        except msgspec.DecodeError:
            # Perhaps msgspec only objects to half a character.
            mended = repaired_json(body.decode()).encode()
            if mended == body:
                raise
            return msgspec.json.decode(mended, type=self.type)

    def sent_without_effect(self, request: Request) -> list[str]:
        """The names of the fields that were sent and change nothing."""
        return [n for n in self.without_effect if getattr(request, n) is not None]


def check_depth(value: Any, field: str) -> None:
    """Raise InvalidRequest if `value`, at `field`, is nested too deeply to use."""
    level = [value]
    for _ in range(MOST_DEPTH):
        level = [part for whole in level for part in containers_in(whole)]
        if not level:
            return
    raise too_deep(field)


def too_deep(field: str) -> InvalidRequest:
    """The error for a value that is nested too deeply."""
    return InvalidRequest(
        f"`{field}`: It is nested deeper than {MOST_DEPTH} levels: flatten it.",
        param=field,
    )


def containers_in(value: Any) -> Iterator[Any]:
    """The arrays and objects directly inside `value` that are not empty."""
    if isinstance(value, dict):
        value = value.values()
    elif not isinstance(value, list):
        return iter(())
    return (part for part in value if isinstance(part, dict | list) and part)


def text_and_path(error: msgspec.ValidationError) -> tuple[str, str]:
    """The message of `error`, and the path in it, which may be empty."""
    text, found, path = str(error).rpartition(" - at `$")
    if not found:
        text, path = path, ""
    return cut(text, MOST_REASON), path.rstrip("`")


def _missing_field(text: str) -> str:
    # "Object missing required field `messages`" at the top level has no path.
    return text.split("`")[1] if "missing required field" in text else ""
