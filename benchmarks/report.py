"""Figures with their spread, and the table of them."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Sample:
    """Repeated measurements of one thing."""

    values: Sequence[float]
    unit: str = "ms"

    @property
    def median(self) -> float:
        """The middle one."""
        return statistics.median(self.values)

    def quantile(self, share: float) -> float:
        """The value that `share` of all are not above."""
        ordered = sorted(self.values)
        return ordered[min(int(share * len(ordered)), len(ordered) - 1)]

    def __str__(self) -> str:
        low, high = self.quantile(0.1), self.quantile(0.9)
        median = _short(self.median)
        if len(self.values) == 1:
            return f"{median} {self.unit}"
        return f"{median} ({_short(low)}–{_short(high)}) {self.unit}"


@dataclass(frozen=True)
class Bound:
    """A figure, what it may be at most or must be at least, and what it is."""

    figure: str
    rule: str
    value: float
    limit: float
    at_least: bool = False
    measured: str = ""

    @property
    def met(self) -> bool:
        """Whether the bound holds."""
        if self.at_least:
            return self.value >= self.limit
        return self.value <= self.limit

    def row(self) -> tuple[str, ...]:
        """Its line of the table."""
        sign = "≥" if self.at_least else "≤"
        bound = f"{sign} {_short(self.limit)} {self.rule}"
        verdict = "yes" if self.met else "**no**"
        return (self.figure, bound, _short(self.value), verdict, self.measured)


def ratio(
    figure: str,
    ours: Sample,
    other: Sample,
    limit: float,
    rule: str,
    *,
    at_least: bool = False,
) -> Bound:
    """The bound on our median as a multiple of another's."""
    measured = f"{ours} against {other}"
    value = ours.median / other.median
    return Bound(figure, f"× {rule}", value, limit, at_least, measured)


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _short(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
