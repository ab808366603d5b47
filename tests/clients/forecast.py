"""The structured answer that all programs ask for, and the function they offer."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, Field


class Depth(BaseModel):
    centimetres: float


class Rain(BaseModel):
    kind: Literal["rain"]
    millimetres: float


class Snow(BaseModel):
    kind: Literal["snow"]
    depth: Depth


class Forecast(BaseModel):
    """The weather to come: alternatives told apart by a field, a part, a default."""

    city: str
    sky: Annotated[Rain | Snow, Field(discriminator="kind")]
    unit: str = "C"


def get_weather(city: str) -> str:
    """The weather of a city.

    Args:
        city: its name.
    """
    return f"-3 C in {city}"
