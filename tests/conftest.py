from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Iterator
from contextlib import contextmanager

import openai
import pytest

from claude_nb_gateway.claude_code.manager import CLIManager
from claude_nb_gateway.demo.answers import demo_environment
from claude_nb_gateway.demo.model import ModelServer
from claude_nb_gateway.testing.server import Gateway
from claude_nb_gateway.turn.asking import answer
from claude_nb_gateway.turn.events import Text

from .open_responses import document

pytest_plugins = ["claude_nb_gateway.testing.fixtures"]


@pytest.fixture(scope="session", autouse=True)
def interruptible():
    """Undo that a shell's background jobs, and their children, ignore SIGINT."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def open_responses(monkeypatch):
    """Hold every answer of the Responses API against the Open Responses document."""
    faults: list[str] = []
    document.watch(monkeypatch, faults)
    yield faults
    assert not faults


@pytest.fixture
def anyio_backend():
    return "asyncio"


async def until(condition, seconds=10):
    """Wait until `condition()` holds."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - nothing to wait on from outside
            await asyncio.sleep(0.01)


async def step():
    """Let every other task run one step."""
    await asyncio.sleep(0)


async def spares(manager, count):
    """Wait until `manager` has this number of spares and starts no more."""

    def ready():
        now = manager.snapshot()
        return len(now.of_kind("spare")) == count and not now.starting

    await until(ready)
    return manager.snapshot().of_kind("spare")


async def events_of(manager, conversation, **options):
    """All events of the turn that answers `conversation`."""
    batches = answer(manager, conversation, **options)
    return [event async for batch in batches for event in batch]


def text_of(events):
    """The text of an answer, as its client reads it."""
    return "".join(event.text for event in events if isinstance(event, Text))


@pytest.fixture
def log():
    return logging.getLogger("test")


@pytest.fixture
def client(gateway: Gateway) -> Iterator[openai.OpenAI]:
    with client_of(gateway) as client:
        yield client


@pytest.fixture
def ask(client):
    """One question, one answer; what else the test wants goes to `create`."""

    def ask(*messages, model="sonnet", **options):
        return client.chat.completions.create(
            model=model,
            messages=[
                {"role": "user", "content": message}
                if isinstance(message, str)
                else {"role": message[0], "content": message[1]}
                for message in messages
            ],
            **options,
        )

    return ask


@contextmanager
def client_of(gateway: Gateway, **options) -> Iterator[openai.OpenAI]:
    """The official client, which does not hide a failure by trying again.

    It raises for any answer or chunk that is not of its types.
    """
    strict = {"_strict_response_validation": True}
    options = (
        {"api_key": gateway.key, "max_retries": 0, "timeout": 30} | strict | options
    )
    with openai.OpenAI(base_url=gateway.base_url, **options) as client:
        yield client


@pytest.fixture
def cli_environment(model: ModelServer, tmp_path, monkeypatch):
    """This process's environment, in which the CLI asks the stand-in."""
    for name, value in demo_environment(model.url, str(tmp_path)).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path / "runtime"))


@pytest.fixture
async def make(cli_environment):
    """Make managers of CLI processes in this process; they are shut down.

    They keep no spares unless told to: to start a process takes a second of a core.
    """
    managers = []

    def make(**config):
        manager = CLIManager(**{"spare_processes": 0, **config})
        managers.append(manager)
        return manager

    yield make
    for manager in managers:
        await manager.shutdown()
