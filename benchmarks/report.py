"""Figures with their spread, and tables of them."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Sample:
    """Repeated measurements of one figure."""

    values: Sequence[float]
    unit: str = "ms"

    @property
    def median(self) -> float:
        """The median of the values."""
        return statistics.median(self.values)

    def quantile(self, share: float) -> float:
        """The value that a `share` of all values does not exceed."""
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
    """A figure, its value, and its upper limit; or its lower limit, if `at_least`."""

    figure: str
    rule: str
    value: float
    limit: float
    at_least: bool = False
    measured: str = ""

    @property
    def met(self) -> bool:
        """Whether the value is within the limit."""
        if self.at_least:
            return self.value >= self.limit
        return self.value <= self.limit

    def row(self) -> tuple[str, ...]:
        """Its row of the table."""
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
    """The bound on the ratio of our median to the other's."""
    measured = f"{ours} against {other}"
    value = ours.median / other.median
    return Bound(figure, f"× {rule}", value, limit, at_least, measured)


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _short(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
