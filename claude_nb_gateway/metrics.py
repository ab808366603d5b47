"""The gateway's metrics, for the server's own ``/metrics``.

Jupyter Server serves Prometheus's default registry there. So every metric that is
defined here is served. Names follow https://prometheus.io/docs/practices/naming/.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from prometheus_client import REGISTRY, Counter, Histogram
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

SECONDS = (0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)

REQUESTS = Counter(
    "claude_gateway_requests",
    "Requests for answers by outcome: answered, refused (4xx), limited (429), failed "
    "(5xx, or after the first text), abandoned by the client",
    ["endpoint", "outcome"],
)
FIRST_TOKEN_SECONDS = Histogram(
    "claude_gateway_first_token_seconds",
    "Time from the arrival of a request to the first text or thinking of its answer",
    buckets=SECONDS,
)
SESSIONS = Counter(
    "claude_gateway_sessions",
    "Sessions used for a turn by source: live (the conversation's own process), "
    "prepared (a spare with the same setup), spare (a plain spare), started (there "
    "was no spare)",
    ["source"],
)
QUEUE_WAIT_SECONDS = Histogram(
    "claude_gateway_queue_wait_seconds",
    "Time that requests waited for a process, if none was ready",
    buckets=SECONDS,
)
TURNS = Counter(
    "claude_gateway_turns",
    "Turns run by outcome: completed, interrupted, failed, lost (with the process), "
    "unasked (begun by the CLI itself)",
    ["outcome"],
)
TOKENS = Counter(
    "claude_gateway_tokens",
    "Tokens by model and kind: input, output, cache_read, cache_creation",
    ["model", "kind"],
)
COST = Counter(
    "claude_gateway_cost_usd",
    "Cost of the turns in US dollars by model, as computed by the CLI",
    ["model"],
)


# Each model stays in /metrics until the server stops, and requests can name any model.
MAX_MODELS = 50
OTHER_MODELS = "other"
_models: set[str] = set()


def label_of(model: str) -> str:
    """The label for `model`: its name, or after `MAX_MODELS` names `OTHER_MODELS`."""
    if model not in _models and len(_models) < MAX_MODELS:
        _models.add(model)
    return model if model in _models else OTHER_MODELS


class Observed(Protocol):
    """An object with processes and a queue."""

    @property
    def processes_by_kind(self) -> Mapping[Any, int]:
        """The number of processes of each kind."""

    @property
    def queue_length(self) -> int:
        """The number of requests that wait for a process."""


class Gauges(Collector):
    """Gauges that are read from their owners when they are served."""

    def __init__(self) -> None:
        self._observed: weakref.WeakSet[Observed] = weakref.WeakSet()

    def observe(self, owner: Observed) -> None:
        """Read also `owner`, for as long as it exists."""
        self._observed.add(owner)

    def collect(self) -> Iterable[GaugeMetricFamily]:
        """The gauges (see prometheus_client's custom collectors)."""
        processes = GaugeMetricFamily(
            "claude_gateway_processes",
            "Claude Code CLI processes by kind: starting, spare, idle (with their "
            "conversation), busy, ending",
            labels=["kind"],
        )
        total: dict[str, int] = {}
        waiting = 0
        for owner in self._observed:
            waiting += owner.queue_length
            for kind, count in owner.processes_by_kind.items():
                total[kind] = total.get(kind, 0) + count
        for kind, count in total.items():
            processes.add_metric([kind], count)
        yield processes
        yield GaugeMetricFamily(
            "claude_gateway_queue_length", "Requests that wait for a process", waiting
        )


GAUGES = Gauges()
REGISTRY.register(GAUGES)
