"""The CLI's transcripts of its sessions: files that outlive every process.

Their path is ``$CLAUDE_CONFIG_DIR/projects/<directory>/<session id>.jsonl``, with ``-``
for the punctuation in the directory. Each line is a JSON object. The package
claude-agent-sdk interprets them; `claude --resume ID` opens the same conversations.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import shutil
import uuid
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from claude_agent_sdk import SessionStore

Entry = dict[str, Any]

TAIL_BYTES = 64 * 2**10
# A longer name of a directory is cut and ends in a hash. The SDK and the CLI compute
# different hashes.
MAX_UNHASHED_KEY = 200
#: Maximum number of lines in which to search for the working directory.
MAX_LINES_BEFORE_CWD = 50


@dataclass(frozen=True)
class Recorded:
    """A session that has a transcript; times are in Unix seconds."""

    session_id: str
    title: str
    created_at: float
    updated_at: float


class Transcripts:
    """The transcripts in the CLI's configuration directory.

    Every method does file I/O and blocks: call it in a thread. `directory` is always
    the working directory of the session.
    """

    def __init__(self, config_directory: Path) -> None:
        self._files = _Files(config_directory / "projects")
        # The SDK calls only the methods of SessionStore that _Files has.
        self._store = cast("SessionStore", self._files)

    def tail(self, directory: str, session_id: str) -> str | None:
        """The id of the last message; empty without messages, None without a file."""
        path = self._files.path(directory, session_id)
        try:
            for entry in _entries_backwards(path):
                if entry.get("type") in ("user", "assistant") and not entry.get(
                    "isSidechain"
                ):
                    return str(entry.get("uuid", ""))
        except FileNotFoundError:
            return None
        return ""

    def recorded(self, directory: str) -> dict[str, float]:
        """The sessions of `directory`: the time of the last change, by id."""
        found = {}
        for path in self._files.folder(directory).glob("*.jsonl"):
            if _is_uuid(path.stem):
                with contextlib.suppress(FileNotFoundError):
                    found[path.stem] = path.stat().st_mtime
        return found

    def _started_in(self, directory: str, session_id: str) -> bool:
        # Directories share a folder if their names differ only in punctuation or in
        # non-ASCII letters.
        with (
            contextlib.suppress(FileNotFoundError),
            self._files.path(directory, session_id).open("rb") as file,
        ):
            for line in itertools.islice(file, MAX_LINES_BEFORE_CWD):
                if (entry := _parsed(line)) and "cwd" in entry:
                    return bool(entry["cwd"] == directory)
        return False

    def changed(
        self, directory: str, seen: Mapping[str, float]
    ) -> dict[str, tuple[float, str]]:
        """The conversations of `directory` that have changed since they were `seen`.

        Returns the time of the change and the id of the last message, by session id.
        """
        return {
            session_id: (at, tail)
            for session_id, at in self.recorded(directory).items()
            if seen.get(session_id) != at
            and self._started_in(directory, session_id)
            and (tail := self.tail(directory, session_id))
        }

    def describe(self, directory: str, session_id: str) -> Recorded | None:
        """The title and the times of a session, None if it has no conversation."""
        from claude_agent_sdk import get_session_info_from_store

        work = get_session_info_from_store(self._store, session_id, directory)
        info = asyncio.run(work)
        if info is None:
            return None
        changed = info.last_modified / 1e3
        created = (info.created_at or info.last_modified) / 1e3
        return Recorded(session_id, info.summary, created, changed)

    def messages(self, directory: str, session_id: str) -> list[Entry]:
        """The current messages of the conversation, in order.

        Each has `uuid`, `type` (user or assistant) and `message`, a message of the
        Messages API.
        """
        from claude_agent_sdk import get_session_messages_from_store

        work = get_session_messages_from_store(self._store, session_id, directory)
        return [
            {"uuid": found.uuid, "type": found.type, "message": found.message}
            for found in asyncio.run(work)
        ]

    def fork(self, directory: str, session_id: str, title: str) -> str | None:
        """Copy the conversation; return the copy's id, None if there is nothing yet."""
        from claude_agent_sdk import fork_session_via_store

        work = fork_session_via_store(
            self._store, session_id, directory, title=title or None
        )
        try:
            return asyncio.run(work).session_id
        except (FileNotFoundError, ValueError):
            return None

    def rename(self, directory: str, session_id: str, title: str) -> None:
        """Set the `title` that Claude Code shows for the session."""
        from claude_agent_sdk import rename_session_via_store

        if title.strip() and self._files.path(directory, session_id).exists():
            work = rename_session_via_store(self._store, session_id, title, directory)
            asyncio.run(work)

    def move(self, before: str, now: str, session_ids: Collection[str] = ()) -> None:
        """Move the transcripts of a directory whose path has changed.

        `before` is the old path and `now` the new one. Moved are the transcripts of
        `session_ids`, and those of all sessions that started in `before`.
        """
        target = self._files.folder(now)
        target.mkdir(mode=0o700, parents=True, exist_ok=True)
        for session_id in self.recorded(before):
            if not (session_id in session_ids or self._started_in(before, session_id)):
                continue
            path = self._files.path(before, session_id)
            for old in (path, path.with_suffix("")):
                if old.exists() and not (new := target / old.name).exists():
                    old.rename(new)

    def delete(self, directory: str, session_id: str) -> None:
        """Remove the transcript, if there is one."""
        path = self._files.path(directory, session_id)
        path.unlink(missing_ok=True)
        # This directory holds the output of the session's sub-agents and tools.
        shutil.rmtree(path.with_suffix(""), ignore_errors=True)


class _Files:
    """The transcripts as the SDK's ``SessionStore``.

    The SDK's own functions for files use the directory in the environment of *this*
    process. The CLI may use another one.
    """

    def __init__(self, root: Path) -> None:
        self._root = root

    def folder(self, directory: str) -> Path:
        """The folder of the transcripts of `directory`; it may not exist."""
        from claude_agent_sdk import project_key_for_directory

        return self._folder(project_key_for_directory(directory))

    def path(self, directory: str, session_id: str) -> Path:
        """The path of a transcript; raises ValueError if the id is not a UUID."""
        return self.folder(directory) / f"{_checked(session_id)}.jsonl"

    async def load(self, key: Mapping[str, str]) -> list[Any] | None:
        """All entries of a transcript, in order; None if there is no transcript."""
        try:
            with self._path(key).open("rb") as file:
                return [entry for line in file if (entry := _parsed(line))]
        except FileNotFoundError:
            return None

    async def append(self, key: Mapping[str, str], entries: list[Any]) -> None:
        """Add `entries` to the end of a transcript; create it if it is missing."""
        path = self._path(key)
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        lines = [json.dumps(entry, separators=(",", ":")) + "\n" for entry in entries]
        with path.open("a") as file:
            file.write("".join(lines))

    def _path(self, key: Mapping[str, str]) -> Path:
        folder = self._folder(key["project_key"])
        return folder / f"{_checked(key['session_id'])}.jsonl"

    def _folder(self, key: str) -> Path:
        if len(key) > MAX_UNHASHED_KEY:
            for path in self._root.glob(f"{key[:MAX_UNHASHED_KEY]}-*"):
                return path
        return self._root / key


def _checked(session_id: str) -> str:
    if not _is_uuid(session_id):
        raise ValueError(f"not a session id: {session_id!r}")
    return session_id


def _is_uuid(text: str) -> bool:
    try:
        return str(uuid.UUID(text)) == text
    except ValueError:
        return False


def _entries_backwards(path: Path) -> Iterator[Entry]:
    """The entries of a transcript; the last entry comes first."""
    with path.open("rb") as file:
        end = file.seek(0, 2)
        rest = b""
        while end > 0:
            start = max(end - TAIL_BYTES, 0)
            file.seek(start)
            first, *lines = (file.read(end - start) + rest).split(b"\n")
            for line in reversed(lines):
                if entry := _parsed(line):
                    yield entry
            rest, end = first, start
        if entry := _parsed(rest):
            yield entry


def _parsed(line: bytes) -> Entry | None:
    # The CLI may still be writing the last line, or a crash has cut it.
    try:
        entry = json.loads(line)
    except ValueError:
        return None
    return cast(Entry, entry) if isinstance(entry, dict) else None
