"""`GET /v1/models` and `GET /v1/models/{id}`."""

from __future__ import annotations

import datetime
import re

from ..wire.chat.types import Model, ModelList
from ..wire.messages.types import ModelInfo, ModelInfoList
from .auth import allowed_to
from .base import GatewayHandler
from .errors import http_errors
from .pages import list_of

#: The header by which requests of Anthropic's clients are known.
ANTHROPIC_HEADER = "Anthropic-Version"

_DATE = re.compile(r"-(20\d\d)(\d\d)(\d\d)$")


def model_object(name: str) -> Model:
    """The model `name` as OpenAI lists it; 1970 if its name contains no date."""
    match = _DATE.search(name)
    if match is None:
        return Model(id=name, created=0)
    year, month, date = map(int, match.groups())
    day = datetime.datetime(year, month, date, tzinfo=datetime.UTC)
    return Model(id=name, created=int(day.timestamp()))


def model_info(name: str) -> ModelInfo:
    """The model `name` as Anthropic lists it; 1970 if its name contains no date."""
    created = datetime.datetime.fromtimestamp(model_object(name).created, datetime.UTC)
    return ModelInfo(
        id=name, display_name=name, created_at=created.strftime("%Y-%m-%dT%H:%M:%SZ")
    )


class ModelsHandler(GatewayHandler):
    """All models."""

    @allowed_to("read")
    async def get(self) -> None:
        """List all values that `model` may have in a request."""
        with http_errors():
            await self.check_project_in_path()
            catalog = await self.services.manager.catalog()
            if ANTHROPIC_HEADER in self.request.headers:
                infos = [model_info(name) for name in catalog.ids]
                self.send_json(list_of(ModelInfoList, infos))
                return
            self.send_json(ModelList(data=[model_object(name) for name in catalog.ids]))

    head = get


class ModelHandler(GatewayHandler):
    """One model."""

    @allowed_to("read")
    async def get(self, name: str) -> None:
        """Describe the model `name`; 404 if there is none."""
        with http_errors():
            await self.check_project_in_path()
            catalog = await self.services.manager.catalog()
            catalog.resolve(name)
            anthropic = ANTHROPIC_HEADER in self.request.headers
            self.send_json(model_info(name) if anthropic else model_object(name))

    head = get
