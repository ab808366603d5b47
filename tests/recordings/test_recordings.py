"""What clients and the model are told is what it was, byte for byte."""

from __future__ import annotations

import pytest

from claude_nb_gateway.testing.fixtures import FEW_SPARES
from claude_nb_gateway.testing.server import running_gateway

from .recording import all_names, path_of, prepare, record

pytestmark = pytest.mark.soak


@pytest.fixture(scope="module")
def prepared(model_server, tmp_path_factory):
    directory = tmp_path_factory.mktemp("recordings")
    prepare(directory)
    with running_gateway(directory, model_server.url, *FEW_SPARES) as gateway:
        yield gateway


@pytest.mark.parametrize("streamed", [True, False], ids=["streamed", "whole"])
@pytest.mark.parametrize(("api", "name"), list(all_names()))
def test_conversation_is_the_one_recorded(prepared, model, api, name, streamed):
    recorded = path_of(api, name, streamed).read_text()
    assert record(prepared, model, api, name, streamed) == recorded
