"""What a session runs its next turn with: model, effort, maximum of output tokens."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from .profile import Launch
from .protocol import Json

#: Sends a control request and returns the CLI's answer.
Control = Callable[..., Awaitable[Json]]

# The Messages API refuses a thinking budget that is not below `max_tokens`, and this is
# the smallest budget. The CLI asks for it with models whose thinking is not adaptive.
MIN_THINKING_TOKENS = 1_024

# The CLI takes `max_tokens` from this variable; null removes the variable.
MAX_OUTPUT_TOKENS = "CLAUDE_CODE_MAX_OUTPUT_TOKENS"


class TurnSettings:
    """The current settings of the CLI; at first those of `launch`."""

    def __init__(self, launch: Launch) -> None:
        self._current = _settings(launch.model, launch.effort, None)
        self._thinks = True

    async def apply(
        self,
        control: Control,
        *,
        model: str | None,
        effort: str | None,
        max_output_tokens: int | None,
    ) -> None:
        """Send what differs from the current settings; None is the CLI's default.

        Before the first turn this leaves no trace in the conversation. Later a change
        of the model leaves a note in it, and a change of the effort a mark. A change of
        the maximum leaves none.
        """
        wanted = _settings(model, effort, max_output_tokens)
        changed = {k: v for k, v in wanted.items() if self._current[k] != v}
        if changed:
            await control("apply_flag_settings", settings=changed)
            self._current = wanted
        limit = max_output_tokens
        thinks = limit is None or limit > MIN_THINKING_TOKENS
        if thinks != self._thinks:
            budget = None if thinks else 0
            await control("set_max_thinking_tokens", max_thinking_tokens=budget)
            self._thinks = thinks


def _settings(
    model: str | None, effort: str | None, max_output_tokens: int | None
) -> Json:
    limit = None if max_output_tokens is None else str(max_output_tokens)
    return {"model": model, "effortLevel": effort, "env": {MAX_OUTPUT_TOKENS: limit}}
