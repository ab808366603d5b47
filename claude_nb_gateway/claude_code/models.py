"""The models, and the names that clients may use for them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from traitlets import Dict, List, Unicode
from traitlets.config import LoggingConfigurable

from ..errors import GatewayError, ModelNotFound, UpstreamError, quoted

#: Maximum length of a name that is looked up.
MAX_NAME_CHARACTERS = 200

# The names of Claude models in the style of Anthropic, Bedrock
# (`us.anthropic.…-v1:0`) and Vertex (`…@20250929`). Only the API knows whether the
# model exists: new models appear, old ones disappear or are replaced by others.
_CLAUDE_MODEL = re.compile(
    r"(([a-z-]+\.)?anthropic\.)?claude-[a-z0-9-]+(@[0-9a-z]+)?(:[0-9]+)?"
)
# The CLI's suffix for the large context window.
_LARGE_CONTEXT = "[1m]"
# Names that the CLI accepts, but does not list.
_UNLISTED = ("best", "opusplan")
# The prefixes of names that routers and their clients use.
_PREFIX = re.compile(
    r"~?(anthropic|openai|openrouter|claude[-_]code|litellm_proxy|models|bedrock"
    r"|vertex_ai)[/:]",
    re.IGNORECASE,
)
# Routers write `claude-3.5-haiku` and `claude-sonnet-4.5`; Anthropic uses hyphens, but
# writes `claude-2.1`.
_DOT = re.compile(r"(?<!claude-2)(?<!instant-1)(?<=\d)\.(?=\d)")
_OLD_MODEL = re.compile(r"claude-(2|instant-1)\.[0-9]")


class ModelCatalog(LoggingConfigurable):
    """The models that the CLI reports, and all names that clients may use."""

    default_model = Unicode(
        "",
        config=True,
        help="""The model for requests without one. If empty, the CLI's own default
        is used.""",
    )
    model_aliases = Dict(
        key_trait=Unicode(),
        value_trait=Unicode(),
        config=True,
        help="""Other names for models, for clients with a fixed list of names:
        {"gpt-4o": "sonnet"}.""",
    )
    extra_models = List(
        Unicode(),
        config=True,
        help="""Model ids to accept and list, in addition to those that the CLI
        reports. Names of Claude models, `claude-…`, are always accepted: the model's
        API decides whether the model exists.""",
    )

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._reported: list[str] = []
        self.loaded = False

    def update(self, reported: list[dict[str, Any]]) -> None:
        """Store the ``models`` that the CLI reports in its `initialize` response."""
        ids = [model.get("resolvedModel") or model["value"] for model in reported]
        self._reported = list(dict.fromkeys(ids + [m["value"] for m in reported]))
        self.loaded = True

    @property
    def ids(self) -> list[str]:
        """All listed names that a request may use; those of the CLI come first."""
        listed = [*self._reported, *self.extra_models, *self.model_aliases]
        return list(dict.fromkeys(listed))

    def resolve(self, name: str | None) -> str | None:
        """The CLI's name of the model that a client calls `name`.

        None is the CLI's own default. A name of a Claude model is accepted without a
        check: the model's API decides whether the model exists.

        Raises
        ------
        ModelNotFound
            The name is neither one of `ids` nor the name of a Claude model.
        """
        wanted = name or self.default_model
        if not wanted:
            return None
        found = self._find(wanted)
        if found is None:
            raise ModelNotFound(wanted, self.ids)
        return found

    def known(self, name: str | None) -> str | None:
        """The result of `resolve` for `name`, None if it finds no model."""
        return self.resolve(name) if self.accepts(name) else None

    def accepts(self, name: str | None) -> bool:
        """Whether `resolve` finds a model for `name`."""
        try:
            self.resolve(name)
        except ModelNotFound:
            return False
        return True

    def explained(self, error: GatewayError, name: str | None) -> GatewayError:
        """`error`, or a clearer one if the model's API does not know model `name`."""
        if not isinstance(error, UpstreamError) or error.status != 404:
            return error
        wanted = name or self.default_model
        model = (
            f"the model {quoted(wanted)}" if wanted else "Claude Code's default model"
        )
        because = (
            f"The model's API does not know {model}, or the server's account may not "
            "use it."
        )
        return ModelNotFound(wanted, self.ids, because=because, detail=error.detail)

    def _find(self, name: str) -> str | None:
        for candidate in _candidates(name):
            alias = self.model_aliases.get(candidate)
            if alias is not None:
                found = map(self._model, _candidates(str(alias)))
                return next(filter(None, found), None)
            if model := self._model(candidate):
                return model
        return None

    def _model(self, name: str) -> str | None:
        if name in self._reported or name in self.extra_models:
            return name
        plain = name.removesuffix(_LARGE_CONTEXT)
        if plain in self._reported or plain in _UNLISTED:
            return name
        dashed = _DOT.sub("-", plain)
        if _CLAUDE_MODEL.fullmatch(dashed) or _OLD_MODEL.fullmatch(plain):
            return dashed + name[len(plain) :]
        return None


def _candidates(name: str) -> Iterator[str]:
    """The possible meanings of `name`: with and without the prefixes of routers."""
    if len(name) > MAX_NAME_CHARACTERS:
        return
    yield from (name, name.lower())
    while prefix := _PREFIX.match(name):
        name = name[prefix.end() :]
        yield from (name, name.lower())
