"""Which models there are, and by which names clients may call them."""

from __future__ import annotations

from typing import Any

from traitlets import Dict, List, Unicode
from traitlets.config import LoggingConfigurable

from ..errors import InvalidRequest, ModelNotFound

#: Ids that the CLI accepts without listing them. Some it answers with a newer
#: model; the answer says which.
UNLISTED_MODELS = [
    "claude-opus-4-1-20250805",
    "claude-opus-4-20250514",
    "claude-sonnet-4-20250514",
    "claude-3-7-sonnet-20250219",
    "claude-3-5-sonnet-20241022",
    "claude-3-5-haiku-20241022",
]


class ModelCatalog(LoggingConfigurable):
    """The models the CLI reports, those it takes unlisted, and aliases for them."""

    default_model = Unicode(
        "",
        config=True,
        help="The model for requests that name none; empty refuses those.",
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
        default_value=UNLISTED_MODELS,
        config=True,
        help="Model ids to accept and list beside those the CLI reports.",
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

    def resolve(self, name: str | None) -> str:
        """The name to give to the CLI for the one that a client used.

        Raises
        ------
        InvalidRequest
            No model was named and there is no default.
        ModelNotFound
            The name is none of `ids`.
        """
        wanted = name or self.default_model
        if not wanted:
            raise InvalidRequest(
                "`model` is missing. Name one of: " + ", ".join(self.ids) + ".",
                param="model",
                code="missing_required_parameter",
            )
        target = str(self.model_aliases.get(wanted, wanted))
        if target not in self._reported and target not in self.extra_models:
            raise ModelNotFound(wanted, self.ids)
        return target

    def known(self, name: str | None) -> str | None:
        """What `resolve` gives for `name`, None if it finds no model."""
        return self.resolve(name) if self.accepts(name) else None

    def accepts(self, name: str | None) -> bool:
        """Whether `resolve` finds a model for `name`."""
        try:
            self.resolve(name)
        except InvalidRequest:
            return False
        return True
