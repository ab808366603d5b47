"""What a turn took: tokens, cost and time, from what its process reports."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from .. import metrics
from . import protocol
from .protocol import ModelUsage, Result


@dataclass(frozen=True)
class TurnAccount:
    """What a turn took, all its models together. Times are in (Unix) seconds.

    Parameters
    ----------
    session_id:
        The session; empty for a conversation without a transcript.
    model:
        The model with the most output.
    outcome:
        completed, failed, interrupted, lost (with the process), or unasked (the CLI
        began the turn by itself).
    usage:
        Tokens and cost.
    started_at, duration_seconds, first_token_seconds:
        When it was asked, how long it took, and how long until the first token; None if
        the CLI does not say.
    """

    session_id: str
    model: str
    outcome: str
    usage: ModelUsage
    started_at: float
    duration_seconds: float
    first_token_seconds: float | None


#: Called with what a turn took, once it has ended.
AccountTo = Callable[[TurnAccount], None]


class UsageMeter:
    """Finds what each turn of a process took, and counts it in the metrics."""

    def __init__(self) -> None:
        self._used: dict[str, ModelUsage] = {}

    def taken(self, result: Result) -> dict[str, ModelUsage]:
        """What was used of each model since the last result of the process.

        Sets the cost in `result` to that of the turn.
        """
        taken = result.usage_since_last
        if taken is None:  # an older CLI only reports the sum of the process
            nothing = ModelUsage()
            taken = {
                model: used.minus(self._used.get(model, nothing))
                for model, used in result.model_usage.items()
            }
        self._used = result.model_usage or self._used
        for model, used in taken.items():
            _count(model, used)
        if result.total_cost_usd is not None:
            result.total_cost_usd = protocol.total(taken.values()).cost_usd
        return taken


def account_of(
    result: Result,
    taken: Mapping[str, ModelUsage],
    *,
    session_id: str,
    asked_model: str,
    outcome: str,
    started_at: float,
) -> TurnAccount:
    """The account of the turn that ended with `result` just now.

    `asked_model` is the model that the client named, used if no model answered.
    """
    ttft_ms = result.ttft_ms
    return TurnAccount(
        session_id=session_id,
        model=max(taken, key=lambda m: taken[m].output_tokens, default=asked_model),
        outcome=outcome,
        usage=protocol.total(taken.values()),
        started_at=started_at,
        duration_seconds=time.time() - started_at,
        first_token_seconds=None if ttft_ms is None else ttft_ms / 1e3,
    )


def outcome_of(result: Result) -> str:
    """How the turn ended: completed, failed or interrupted."""
    if result.was_interrupted:
        return "interrupted"
    failed = result.is_error and result.stop_reason != "refusal"
    return "failed" if failed else "completed"


def _count(model: str, used: ModelUsage) -> None:
    """Count the tokens and the cost of a turn of `model` in the metrics."""
    label = metrics.label_of(model)
    for kind in ("input", "output", "cache_read_input", "cache_creation_input"):
        tokens = getattr(used, f"{kind}_tokens")
        metrics.TOKENS.labels(label, kind.removesuffix("_input")).inc(max(tokens, 0))
    metrics.COST.labels(label).inc(max(used.cost_usd, 0))
