"""Which models there are, and by which names clients may call them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from traitlets import Dict, List, Unicode
from traitlets.config import LoggingConfigurable

from ..errors import GatewayError, ModelNotFound, UpstreamError, quoted

MOST_CHARACTERS = 200

# Whether there is such a model the API alone knows: new ones come, and old ones go or
# are answered by others. As Anthropic writes them, Bedrock (`us.anthropic.…-v1:0`) and
# Vertex (`…@20250929`).
_CLAUDES = re.compile(
    r"(([a-z-]+\.)?anthropic\.)?claude-[a-z0-9-]+(@[0-9a-z]+)?(:[0-9]+)?"
)
# The CLI's word for the wide context window.
_WIDE = "[1m]"
# Names that the CLI takes without listing them.
_UNLISTED = ("best", "opusplan")
# What routers and their clients put before a name.
_PREFIX = re.compile(
    r"~?(anthropic|openai|openrouter|claude[-_]code|litellm_proxy|models|bedrock"
    r"|vertex_ai)[/:]",
    re.IGNORECASE,
)
# Routers write `claude-3.5-haiku`, and `claude-sonnet-4.5`; Anthropic `claude-2.1`.
_DOT = re.compile(r"(?<!claude-2)(?<!instant-1)(?<=\d)\.(?=\d)")
_OF_OLD = re.compile(r"claude-(2|instant-1)\.[0-9]")


class ModelCatalog(LoggingConfigurable):
    """The models the CLI reports, and what else clients may call models."""

    default_model = Unicode(
        "",
        config=True,
        help="The model for requests that name none; empty is the CLI's own default.",
    )
    model_aliases = Dict(
        key_trait=Unicode(),
        value_trait=Unicode(),
        config=True,
        help="""Other names for models, for clients that can only say theirs:
        {"gpt-4o": "sonnet"}.""",
    )
    extra_models = List(
        Unicode(),
        config=True,
        help="""Model ids to accept and list beside those the CLI reports. Names of
        Claude's, `claude-…`, need no place here: the model's API says whether there
        is such a model.""",
    )

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._reported: list[str] = []
        self.loaded = False

    def update(self, reported: list[dict[str, Any]]) -> None:
        """Take over what the CLI's `initialize` reports as ``models``."""
        ids = [model.get("resolvedModel") or model["value"] for model in reported]
        self._reported = list(dict.fromkeys(ids + [m["value"] for m in reported]))
        self.loaded = True

    @property
    def ids(self) -> list[str]:
        """Every name a request may use, those of the CLI first."""
        listed = [*self._reported, *self.extra_models, *self.model_aliases]
        return list(dict.fromkeys(listed))

    def resolve(self, name: str | None) -> str | None:
        """The name to give to the CLI for the one that a client used.

        None is the CLI's own default. Whether a name of Claude's is a model is left
        to the model's API.

        Raises
        ------
        ModelNotFound
            The name is none of `ids` and none of Claude's.
        """
        wanted = name or self.default_model
        if not wanted:
            return None
        found = self._find(wanted)
        if found is None:
            raise ModelNotFound(wanted, self.ids)
        return found

    def known(self, name: str | None) -> str | None:
        """What `resolve` gives for `name`, None if it finds no model."""
        return self.resolve(name) if self.accepts(name) else None

    def accepts(self, name: str | None) -> bool:
        """Whether `resolve` finds a model for `name`."""
        try:
            self.resolve(name)
        except ModelNotFound:
            return False
        return True

    def explained(self, error: GatewayError, name: str | None) -> GatewayError:
        """`error`, in better words where the model's API knows no model `name`."""
        if not isinstance(error, UpstreamError) or error.status != 404:
            return error
        wanted = name or self.default_model
        which = (
            f"the model {quoted(wanted)}" if wanted else "Claude Code's default model"
        )
        because = (
            f"The model's API does not know {which}, or the server's account may not "
            "use it."
        )
        return ModelNotFound(wanted, self.ids, because=because, detail=error.detail)

    def _find(self, name: str) -> str | None:
        for reading in _readings(name):
            alias = self.model_aliases.get(reading)
            if alias is not None:
                found = map(self._model, _readings(str(alias)))
                return next(filter(None, found), None)
            if model := self._model(reading):
                return model
        return None

    def _model(self, name: str) -> str | None:
        if name in self._reported or name in self.extra_models:
            return name
        plain = name.removesuffix(_WIDE)
        if plain in self._reported or plain in _UNLISTED:
            return name
        dashed = _DOT.sub("-", plain)
        if _CLAUDES.fullmatch(dashed) or _OF_OLD.fullmatch(plain):
            return dashed + name[len(plain) :]
        return None


def _readings(name: str) -> Iterator[str]:
    """What `name` may mean: itself, and what is behind the prefixes of routers."""
    if len(name) > MOST_CHARACTERS:
        return
    yield from (name, name.lower())
    while prefix := _PREFIX.match(name):
        name = name[prefix.end() :]
        yield from (name, name.lower())
