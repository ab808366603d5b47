"""pytest fixtures: `pytest_plugins = ["claude_nb_gateway.testing.fixtures"]`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ..demo.model import ModelServer
from .server import STANDALONE, Gateway, running_gateway

# Most tests use a system prompt only once. So processes prepared for it are a waste.
FEW_SPARES = ("--CLIManager.spare_processes=1", "--CLIManager.max_spare_processes=1")


@pytest.fixture(scope="session")
def model_server() -> Iterator[ModelServer]:
    """The stand-in for the model, one for the whole run."""
    with ModelServer() as server:
        yield server


@pytest.fixture
def model(model_server: ModelServer) -> ModelServer:
    """The stand-in, without scripted replies or recorded requests."""
    model_server.reset()
    return model_server


@pytest.fixture(scope="session")
def _gateway(
    model_server: ModelServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Gateway]:
    directory = tmp_path_factory.mktemp("extension")
    with running_gateway(directory, model_server.url, *FEW_SPARES) as gateway:
        yield gateway


@pytest.fixture
def gateway(_gateway: Gateway, model: ModelServer) -> Gateway:
    """A Jupyter server with the extension, one for the whole run."""
    return _gateway


@pytest.fixture(scope="session")
def _standalone_gateway(
    model_server: ModelServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Gateway]:
    directory: Path = tmp_path_factory.mktemp("standalone")
    with running_gateway(
        directory, model_server.url, *FEW_SPARES, command=STANDALONE
    ) as standalone_gateway:
        yield standalone_gateway


@pytest.fixture
def standalone_gateway(_standalone_gateway: Gateway, model: ModelServer) -> Gateway:
    """`jupyter claude-gateway` without a key, one for the whole run."""
    return _standalone_gateway
