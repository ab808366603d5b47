"""Run all benchmarks, or those named, and print the table: `python -m benchmarks`."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import os
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urljoin

import psutil
from tornado.httpclient import AsyncHTTPClient

from claude_nb_gateway.store.records import SessionRecord
from claude_nb_gateway.store.store import Store

from .model import Order
from .report import Bound, Sample, ratio, table
from .subjects import (
    Answer,
    CLIAlone,
    Server,
    running_model,
    running_ours,
    running_peer,
)

QUIET_SECONDS = 3.0  # time for spares to get ready, and for processes to end
BOOT_SECONDS = 1.5  # time after which a single process has booted
AT_ONCE = 12
SPARES = 4
LONG = {"deltas": 60, "delay_seconds": 0.03}
PACED = {"deltas": 200, "delay_seconds": 0.02}

_names = (f"order {number}" for number in itertools.count())


def order(**options: float) -> Order:
    """A new question."""
    return Order(next(_names), **options)  # type: ignore[arg-type]


@dataclass
class Bench:
    """The gateway under test, and the results so far."""

    model_url: str
    directory: Path
    ours: Server
    peer_python: Path
    samples: dict[str, Sample] = field(default_factory=dict)
    bounds: list[Bound] = field(default_factory=list)

    def keep(self, name: str, values: Sequence[float], unit: str = "ms") -> Sample:
        """Add a sample to the results, and print it."""
        sample = self.samples[name] = Sample(values, unit)
        print(f"  {name}: {sample}", file=sys.stderr, flush=True)
        return sample

    async def cli(self, *, booted: bool = True) -> CLIAlone:
        """A new CLI process."""
        process = await CLIAlone.start(self.model_url, self.directory)
        if booted:
            await asyncio.sleep(BOOT_SECONDS)
        return process

    @contextlib.asynccontextmanager
    async def peer(self) -> AsyncIterator[Server]:
        """The other gateway; it is stopped afterwards, with its idle processes."""
        with running_peer(self.model_url, self.peer_python) as server:
            await server.ask(order())
            yield server

    async def clis(self) -> list[CLIAlone]:
        """`AT_ONCE` CLI processes, each in a conversation."""
        processes = []
        for _ in range(AT_ONCE):
            processes.append(await self.cli(booted=False))
            await processes[-1].ask(order())
        await asyncio.sleep(QUIET_SECONDS)
        return processes


async def spaced(
    ask: Callable[[Order], Awaitable[Answer]], count: int, seconds: float
) -> list[Answer]:
    """Ask `count` questions, one every `seconds`, without waiting for the answers."""
    await asyncio.sleep(QUIET_SECONDS)
    asked = []
    for _ in range(count):
        asked.append(asyncio.ensure_future(ask(order())))
        await asyncio.sleep(seconds)
    return await asyncio.gather(*asked)


def first_tokens(answers: Sequence[Answer]) -> list[float]:
    """The time to the first token of each answer, in milliseconds."""
    return [answer.first_token_ms for answer in answers]


async def fresh(bench: Bench) -> None:
    """Fresh conversations, with spares ready."""
    ours: list[float] = []
    peer: list[float] = []
    booted: list[float] = []
    cold: list[float] = []
    unseen: list[float] = []
    for _ in range(3):
        ours += first_tokens(await spaced(bench.ours.ask, 8, 1.5))
        async with bench.peer() as server:
            peer += first_tokens(await spaced(server.ask, 4, 1.5))
        for _ in range(8):
            process = await bench.cli()
            booted.append((await process.ask(order())).first_token_ms)
            await process.stop()
        for _ in range(3):
            started = time.monotonic()
            process = await bench.cli(booted=False)
            answer = await process.ask(order())
            cold.append((answer.texts()[0][0] - started) * 1e3)
            await process.stop()

        async def ask_as_nobody_did(question: Order) -> Answer:
            system = f"You are {question.name}."
            return await bench.ours.ask(question, system=system)

        unseen += first_tokens(await spaced(ask_as_nobody_did, 4, 1.5))
    sample = bench.keep("fresh conversation", ours)
    alone = bench.keep("CLI alone, booted before", booted)
    other = bench.keep("claude-code-openai, fresh conversation", peer)
    bench.keep("CLI alone, cold", cold)
    bench.keep("fresh conversation, a system prompt never seen before", unseen)
    name = "fresh conversation, one every 1.5 s, to the first token"
    bench.bounds += [
        ratio(name, sample, alone, 0.9, "pre-booted CLI alone"),
        ratio(name, sample, other, 0.3, "claude-code-openai"),
    ]


async def burst(bench: Bench) -> None:
    """Fresh conversations that arrive faster than processes start."""
    for count in (6, 10):
        values: list[float] = []
        for _ in range(5):
            values += first_tokens(await spaced(bench.ours.ask, count, 0.2))
        bench.keep(f"{count} fresh conversations, one every 0.2 s", values)
    name = "6 fresh conversations, one every 0.2 s"
    alone = bench.samples["CLI alone, booted before"]
    title = f"{name}, to the first token"
    rule = "pre-booted CLI alone"
    bench.bounds.append(ratio(title, bench.samples[name], alone, 1.3, rule))


async def history(bench: Bench) -> None:
    """Conversations of five messages that no process holds."""
    turns: list[int] = []

    async def ask(question: Order) -> Answer:
        texts = [f"{question.name}, message {number}" for number in range(4)]
        answer = await bench.ours.ask(question, texts)
        turns.append(answer.turns)
        return answer

    values = first_tokens(await spaced(ask, 16, 1.5))
    sample = bench.keep("cold history of five messages", values)
    assert set(turns) == {5}, turns
    reference = bench.samples["fresh conversation"]
    name = "cold five-message history (five real turns), to the first token"
    bench.bounds.append(ratio(name, sample, reference, 1.3, "fresh"))


async def seeding(bench: Bench) -> None:
    """The cost of a turn of history."""
    by_length = {}
    for length in (2, 50, 100, 200):

        async def ask(question: Order, length: int = length) -> Answer:
            texts = [f"{question.name}, message {number}" for number in range(length)]
            return await bench.ours.ask(question, texts)

        values = first_tokens(await spaced(ask, 4, 1.5))
        by_length[length] = bench.keep(f"cold history of {length + 1} messages", values)
    cost = (by_length[200].median - by_length[2].median) / 198
    bench.keep("cost of a message of history", [cost])


async def continued(bench: Bench) -> None:
    """Turns of a conversation, 0.2 s apart."""
    ours: list[float] = []
    peer: list[float] = []
    alone: list[float] = []
    for _ in range(3):
        ours += await _twelve_turns(bench.ours)
        async with bench.peer() as server:
            peer += await _twelve_turns(server)
        process = await bench.cli()
        for turn in range(12):
            answer = await process.ask(order())
            if turn:
                alone.append(answer.first_token_ms)
            await asyncio.sleep(0.2)
        await process.stop()
    sample = bench.keep("continued conversation", ours)
    live = bench.keep("CLI alone, live", alone)
    bench.keep("claude-code-openai, continued conversation", peer)
    added = sample.median - live.median
    name = "continued conversation, turns 0.2 s apart, to the first token"
    measured = f"{sample} against {live}"
    bench.bounds.append(
        Bound(name, "ms above the live CLI alone", added, 6, measured=measured)
    )


async def _twelve_turns(server: Server) -> list[float]:
    values: list[float] = []
    texts: list[str] = []
    for turn in range(12):
        question = order()
        answer = await server.ask(question, texts)
        texts += [question.text(), answer.content]
        if turn:
            values.append(answer.first_token_ms)
        await asyncio.sleep(0.2)
    await asyncio.sleep(QUIET_SECONDS)
    return values


async def tools(bench: Bench) -> None:
    """The answer after the result of a call, from the process that waits for it."""
    ours: list[float] = []
    alone: list[float] = []
    for _ in range(12):
        await asyncio.sleep(1)
        ours.append((await bench.ours.after_call(order(call=True))).first_token_ms)
        process = await bench.cli()
        alone.append((await process.ask(order(call=True))).first_token_ms)
        await process.stop()
    sample = bench.keep("after the result of a call", ours)
    live = bench.keep("CLI alone, after the result of a call", alone)
    added = sample.median - live.median
    name = "tool round trip, from the result to the first token"
    measured = f"{sample} against {live}"
    bench.bounds.append(
        Bound(name, "ms above the CLI alone", added, 30, measured=measured)
    )


async def deltas(bench: Bench) -> None:
    """The delay that the gateway adds to each delta of one stream."""
    ours: list[float] = []
    peer: list[float] = []
    alone: list[float] = []
    process = await bench.cli()
    await process.ask(order())
    for _ in range(5):
        ours += await _delays(bench.ours)
        async with bench.peer() as server:
            peer += await _delays(server)
        await asyncio.sleep(QUIET_SECONDS)
        alone += (await process.ask(order(**PACED))).delays_ms
    await process.stop()
    sample = bench.keep("delta under way", ours)
    direct = bench.keep("CLI alone, delta under way", alone)
    bench.keep("claude-code-openai, delta under way", peer)
    for share, limit in ((0.5, 0.5), (0.99, 3.0)):
        added = sample.quantile(share) - direct.quantile(share)
        name = f"delay added to a delta, one stream, p{share * 100:.0f}"
        measured = f"{sample.quantile(share):.2f} against {direct.quantile(share):.2f}"
        bench.bounds.append(Bound(name, "ms", added, limit, measured=measured))


async def _delays(server: Server) -> list[float]:
    first = order()
    answer = await server.ask(first)
    await asyncio.sleep(QUIET_SECONDS)
    texts = [first.text(), answer.content]
    return (await server.ask(order(**PACED), texts)).delays_ms


async def throughput(bench: Bench) -> None:
    """One stream at full speed."""
    ours: list[float] = []
    peer: list[float] = []
    alone: list[float] = []
    process = await bench.cli()
    for _ in range(5):
        flood = {"deltas": 20_000}
        await asyncio.sleep(QUIET_SECONDS)
        ours.append((await bench.ours.ask(order(**flood))).deltas_a_second)
        async with bench.peer() as server:
            await asyncio.sleep(QUIET_SECONDS)
            peer.append((await server.ask(order(**flood))).deltas_a_second)
        alone.append((await process.ask(order(**flood))).deltas_a_second)
    await process.stop()
    sample = bench.keep("one stream", ours, "deltas/s")
    other = bench.keep("claude-code-openai, one stream", peer, "deltas/s")
    bench.keep("CLI alone, one stream", alone, "deltas/s")
    name = "one stream, no delay upstream"
    bench.bounds.append(
        ratio(name, sample, other, 1.8, "claude-code-openai", at_least=True)
    )


async def together(bench: Bench) -> None:
    """Twelve fresh conversations at the same moment."""
    ours: list[float] = []
    peer: list[float] = []
    for _ in range(5):
        ours += await _at_once(bench.ours)
        async with bench.peer() as server:
            peer += await _at_once(server)
    alone, cpu = [], []
    for _ in range(5):
        alone += await _clis_at_once(bench, cpu)
    name = f"CLI alone, {AT_ONCE} at once, {SPARES} of them booted before"
    bench.keep(name, alone)
    bench.keep("CLI alone, from its start to its first token: CPU", cpu)
    sample = bench.keep(f"{AT_ONCE} fresh at once", ours)
    other = bench.keep(f"claude-code-openai, {AT_ONCE} fresh at once", peer)
    name = f"{AT_ONCE} fresh conversations at once, to the first token"
    bench.bounds.append(ratio(name, sample, other, 0.3, "claude-code-openai"))


async def _at_once(server: Server) -> list[float]:
    await asyncio.sleep(2 * QUIET_SECONDS)
    asked = (server.ask(order(**LONG)) for _ in range(AT_ONCE))
    answers = await asyncio.gather(*asked)
    assert {len(answer.content.split()) for answer in answers} == {61}
    return first_tokens(answers)


async def _clis_at_once(bench: Bench, cpu_ms: list[float]) -> list[float]:
    """The limit for any gateway: only CLI processes, without a gateway.

    `SPARES` processes are booted before. The others start one on each core, in turn.
    """
    booted = [await bench.cli() for _ in range(SPARES)]
    cores = asyncio.Semaphore(os.cpu_count() or 1)
    begun = time.monotonic()
    processes = []

    async def one(process: CLIAlone | None) -> Answer:
        if process is not None:
            return await process.ask(order(**LONG))
        async with cores:
            process = await bench.cli(booted=False)
            processes.append(process)
            answer = asyncio.ensure_future(process.ask(order(**LONG)))
            await process.speaks.wait()
            spent = psutil.Process(process.process.pid).cpu_times()
            cpu_ms.append((spent.user + spent.system) * 1e3)
        return await answer

    starting = [None] * (AT_ONCE - SPARES)
    answers = await asyncio.gather(*map(one, [*booted, *starting]))
    for process in [*booted, *processes]:
        await process.stop()
    return [(answer.texts()[0][0] - begun) * 1e3 for answer in answers]


async def together_again(bench: Bench) -> None:
    """Twelve continued conversations at the same moment."""
    ours: list[float] = []
    alone: list[float] = []
    questions = [order() for _ in range(AT_ONCE)]
    begun = [await bench.ours.ask(question) for question in questions]
    texts = [
        [question.text(), answer.content]
        for question, answer in zip(questions, begun, strict=True)
    ]
    processes = await bench.clis()
    for _ in range(5):
        questions = [order(**LONG) for _ in range(AT_ONCE)]
        answers = await asyncio.gather(*map(bench.ours.ask, questions, texts))
        for known, question, answer in zip(texts, questions, answers, strict=True):
            known += [question.text(), answer.content]
        ours += first_tokens(answers)
        await asyncio.sleep(1)
        questions = [order(**LONG) for _ in range(AT_ONCE)]
        asked = (
            process.ask(question)
            for process, question in zip(processes, questions, strict=True)
        )
        alone += first_tokens(await asyncio.gather(*asked))
        await asyncio.sleep(1)
    await asyncio.gather(*(process.stop() for process in processes))
    sample = bench.keep(f"{AT_ONCE} continued at once", ours)
    direct = bench.keep(f"CLI alone, {AT_ONCE} live processes at once", alone)
    name = f"{AT_ONCE} continued conversations at once, to the first token"
    bench.bounds.append(ratio(name, sample, direct, 1.2, "twelve CLI alone"))


async def neighbours(bench: Bench) -> None:
    """The effect of twelve streams on the rest of the Jupyter server."""
    url = urljoin(bench.ours.base_url, "../api/status")
    await asyncio.sleep(QUIET_SECONDS)
    idle = bench.keep("GET /api/status, idle", await _latencies(bench, url, 300))
    streams = [
        asyncio.ensure_future(
            bench.ours.ask(order(deltas=600, delay_seconds=0.03))  # 18 s
        )
        for _ in range(AT_ONCE)
    ]
    await asyncio.sleep(10)
    values = await _latencies(bench, url, 300)
    assert not any(stream.done() for stream in streams)
    answers = await asyncio.gather(*streams)
    latest = max(answer.texts()[0][0] for answer in answers)
    assert latest - answers[0].asked < 10, "measured before all first tokens"
    busy = bench.keep(f"GET /api/status, {AT_ONCE} streams", values)
    added = busy.quantile(0.99) - idle.quantile(0.99)
    measured = f"p99 {busy.quantile(0.99):.1f} against {idle.quantile(0.99):.1f} idle"
    name = f"`GET /api/status` while {AT_ONCE} streams flow, p99"
    bench.bounds.append(Bound(name, "ms above idle", added, 20, measured=measured))


async def _latencies(bench: Bench, url: str, count: int) -> list[float]:
    values = []
    for _ in range(count):
        begun = time.monotonic()
        await AsyncHTTPClient().fetch(url, headers=bench.ours.headers)
        values.append((time.monotonic() - begun) * 1e3)
        await asyncio.sleep(0.01)
    return values


#: A database that cannot be, so that the gateway does without.
NO_STORE = "--Store.database_url=sqlite:////proc/none/gateway.db"
SESSIONS = 10_000


async def store(bench: Bench) -> None:
    """The cost of the database: turns with and without it, and long lists."""
    kinds: list[list[float]] = [[], [], []]
    with running_ours(bench.model_url, NO_STORE) as other:
        for _ in range(6):
            await asyncio.sleep(QUIET_SECONDS)
            session = await bench.ours.make_session()
            asked = [
                Talk(bench.ours),
                Talk(other),
                Talk(bench.ours, {"session_id": session}),
            ]
            # Alternating turns, so that a change of the machine's load affects both.
            for turn in range(25):
                for values, talk in zip(kinds, asked, strict=True):
                    value = await talk.go_on()
                    if turn:
                        values.append(value)
                    await asyncio.sleep(0.1)
    with_it, without, named = kinds
    sample = bench.keep("continued conversation, with the store", with_it)
    reference = bench.keep("continued conversation, without a store", without)
    by_name = bench.keep("turn of a session named by its id", named)
    for figure, measured in (("turn", sample), ("turn of a named session", by_name)):
        added = measured.median - reference.median
        name = f"what the store adds to a {figure}, to the first token"
        against = f"{measured} against {reference}"
        bench.bounds.append(Bound(name, "ms", added, 1, measured=against))
    listed = bench.keep(f"{SESSIONS:,} sessions listed", await _listings(bench))
    name = f"{SESSIONS:,} sessions listed, from the database"
    bench.bounds.append(Bound(name, "ms", listed.median, 100, measured=str(listed)))


@dataclass
class Talk:
    """A conversation; if `fields` name its session, only new messages are sent."""

    server: Server
    fields: dict[str, str] = field(default_factory=dict)
    messages: list[dict[str, str]] = field(default_factory=list)

    async def go_on(self) -> float:
        """Run one more turn; returns the time to its first token in milliseconds."""
        question = {"role": "user", "content": order().text()}
        self.messages.append(question)
        sent = [question] if self.fields else self.messages
        answer = await self.server.post(sent, **self.fields)
        self.messages.append({"role": "assistant", "content": answer.content})
        return answer.first_token_ms


async def _listings(bench: Bench) -> list[float]:
    path = bench.directory / "sessions.db"
    records = Store(database_url=f"sqlite:///{path}")
    await records.open()
    try:
        sessions = [
            SessionRecord(f"session {number}", "owner", updated_at=number)
            for number in range(SESSIONS)
        ]
        await records.put_sessions(sessions)
        values = []
        for _ in range(20):
            begun = time.monotonic()
            found, _ = await records.sessions(owner="owner", limit=SESSIONS)
            values.append((time.monotonic() - begun) * 1e3)
            assert len(found) == SESSIONS
        return values
    finally:
        await records.close()


async def footprint(bench: Bench) -> None:
    """Processes and memory after thirty one-off chats."""
    async with bench.peer() as server:
        for _ in range(30):
            await server.ask(order(deltas=1))
        await asyncio.sleep(QUIET_SECONDS)
        other = "claude-code-openai, after 30 one-off chats"
        bench.keep(f"{other}: processes", [len(server.cli_processes)], "")
        bench.keep(f"{other}: memory (PSS)", [server.memory_mib], "MiB")
    most, idle_seconds = 30, 10
    options = (
        f"--CLIManager.max_processes={most}",
        f"--CLIManager.session_idle_timeout_seconds={idle_seconds}",
        f"--CLIManager.spare_idle_timeout_seconds={idle_seconds}",
    )
    with running_ours(bench.model_url, *options) as server:
        for _ in range(30):
            await server.ask(order(deltas=1))
        count, memory = len(server.cli_processes), server.memory_mib
        await asyncio.sleep(idle_seconds + QUIET_SECONDS)
        left = len(server.cli_processes)
    name = "after 30 one-off chats"
    bench.keep(f"{name}: processes", [count], "")
    bench.keep(f"{name}: memory (PSS)", [memory], "MiB")
    bench.bounds += [
        Bound(f"processes {name}", "= `max_processes`", count, most),
        Bound(f"processes {name}, once the idle time is over", "", left, 0),
    ]


BENCHMARKS = [
    fresh,
    burst,
    history,
    seeding,
    continued,
    tools,
    deltas,
    throughput,
    together,
    together_again,
    neighbours,
    store,
    footprint,
]


def document(bench: Bench) -> str:
    """The page with the results, in Markdown."""
    bounds = table(
        ["Figure", "Bound", "Value", "Met", "Measured"],
        [bound.row() for bound in bench.bounds],
    )
    samples = table(
        ["Measured", "Median (10–90 %)"],
        [(name, str(sample)) for name, sample in bench.samples.items()],
    )
    return f"""# How fast it is

`make bench` wrote this page on {os.cpu_count()} cores, in one run: the Claude Code CLI
alone; this gateway as an extension of a Jupyter server, with default settings; and the
gateway [claude-code-openai](https://pypi.org/project/claude-code-openai/) from PyPI,
with default settings. All use the same CLI binary, and the same stand-in for the model,
which runs on loopback and answers at once. Compare the ratios: the times are those of
one machine. The measuring client shares the cores of that machine.

{bounds}

Each fresh conversation needs a new process. So the CLI limits how fast many fresh
conversations at once can be. *CLI alone, {AT_ONCE} at once* measures only processes,
without a gateway: {SPARES} are booted before, and the others start one on each core.
With as many spares, no gateway can be faster.

Medians, with the 10th and 90th percentile:

{samples}
"""


async def run(arguments: argparse.Namespace) -> Bench:
    """Run the benchmarks that `arguments` name, by default all."""
    with ExitStack() as stack:
        model_url = stack.enter_context(running_model())
        directory = stack.enter_context(tempfile.TemporaryDirectory())
        bench = Bench(
            model_url,
            Path(directory),
            stack.enter_context(running_ours(model_url)),
            arguments.peer,
        )
        for benchmark in BENCHMARKS:
            if not arguments.only or benchmark.__name__ in arguments.only:
                print(benchmark.__doc__, file=sys.stderr, flush=True)
                await benchmark(bench)
    return bench


def main() -> None:
    """Measure, print the page, and write it to the file of `--write`."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "--peer", type=Path, required=True, help="python that has claude-code-openai"
    )
    parser.add_argument("--write", type=Path, help="the page to write")
    names = [benchmark.__name__ for benchmark in BENCHMARKS]
    parser.add_argument("only", nargs="*", metavar="NAME", help=", ".join(names))
    arguments = parser.parse_args()
    signal.signal(
        signal.SIGTERM, lambda *_: sys.exit(1)
    )  # so that the servers are stopped
    page = document(asyncio.run(run(arguments)))
    print(page)
    if arguments.write:
        arguments.write.write_text(page)


if __name__ == "__main__":
    main()
