from __future__ import annotations

import pytest

from claude_nb_gateway.claude_code.session_state import SessionState
from claude_nb_gateway.errors import ProtocolError


def test_turn_with_calls_goes_from_new_to_ready_by_way_of_parked():
    state = SessionState.NEW
    for following in ("SETTING_UP", "READY", "ASKING", "PARKED", "ASKING", "READY"):
        state = state.to(SessionState[following])
    assert state is SessionState.READY


@pytest.mark.parametrize("state", SessionState)
def test_every_state_can_end(state):
    assert state.to(SessionState.ENDING) is SessionState.ENDING


@pytest.mark.parametrize(
    ("state", "following"),
    [
        ("NEW", "READY"),
        ("NEW", "ASKING"),
        ("READY", "SETTING_UP"),
        ("READY", "PARKED"),
        ("ASKING", "ASKING"),
        ("PARKED", "READY"),
        ("ENDING", "READY"),
        ("ENDING", "ASKING"),
    ],
)
def test_other_transitions_are_errors_that_name_both(state, following):
    with pytest.raises(ProtocolError) as error:
        SessionState[state].to(SessionState[following])
    assert state in error.value.detail
    assert following in error.value.detail
