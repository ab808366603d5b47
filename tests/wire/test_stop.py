from __future__ import annotations

import pytest

from claude_nb_gateway.errors import InvalidRequest
from claude_nb_gateway.wire.stop import MOST_CHARACTERS, check_lengths

LONGEST = "x" * MOST_CHARACTERS


def test_any_number_of_long_sequences_is_taken():
    check_lengths([], "stop")
    check_lengths([LONGEST] * 4, "stop")


def test_one_that_is_too_long_is_refused_by_the_name_of_its_field():
    with pytest.raises(InvalidRequest, match=f"`stop`.* {MOST_CHARACTERS} ") as error:
        check_lengths(["a", LONGEST + "x"], "stop")
    assert error.value.param == "stop"
