"""The CLI's own records of its sessions: files that outlive every process.

``$CLAUDE_CONFIG_DIR/projects/<directory, punctuation as ->/<session id>.jsonl``, one
JSON object a line. What they mean is read by the package claude-agent-sdk; `claude
--resume ID` opens the same conversations.
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
# The SDK's names of long directories end in a hash, the CLI's in another.
HASHED_FROM = 200
MOST_LINES_BEFORE_PLACE = 50


@dataclass(frozen=True)
class Recorded:
    """A session that has a transcript; times in Unix seconds."""

    session_id: str
    title: str
    created_at: float
    updated_at: float


class Transcripts:
    """The transcripts below the CLI's directory of configuration.

    Every method does file I/O and blocks: call them in a thread. `directory` is always
    where the session runs.
    """

    def __init__(self, config_directory: Path) -> None:
        self._files = _Files(config_directory / "projects")
        # Of its methods those are called that there are.
        self._store = cast("SessionStore", self._files)

    def tail(self, directory: str, session_id: str) -> str | None:
        """The id of the last message, empty if there is none; None: no transcript."""
        path = self._files.path(directory, session_id)
        try:
            for entry in _backwards(path):
                if entry.get("type") in ("user", "assistant") and not entry.get(
                    "isSidechain"
                ):
                    return str(entry.get("uuid", ""))
        except FileNotFoundError:
            return None
        return ""

    def recorded(self, directory: str) -> dict[str, float]:
        """The ids of the sessions of `directory`, with the times they last changed."""
        found = {}
        for path in self._files.folder(directory).glob("*.jsonl"):
            if _is_uuid(path.stem):
                with contextlib.suppress(FileNotFoundError):
                    found[path.stem] = path.stat().st_mtime
        return found

    def _began_in(self, directory: str, session_id: str) -> bool:
        # Directories whose names differ in punctuation, or in letters that are not
        # ASCII, share a folder.
        with (
            contextlib.suppress(FileNotFoundError),
            self._files.path(directory, session_id).open("rb") as file,
        ):
            for line in itertools.islice(file, MOST_LINES_BEFORE_PLACE):
                if (entry := _parsed(line)) and "cwd" in entry:
                    return bool(entry["cwd"] == directory)
        return False

    def changed(
        self, directory: str, seen: Mapping[str, float]
    ) -> dict[str, tuple[float, str]]:
        """The conversations of `directory` that have changed since they were `seen`.

        With the time of the change, and the id of the last message.
        """
        return {
            session_id: (at, tail)
            for session_id, at in self.recorded(directory).items()
            if seen.get(session_id) != at
            and self._began_in(directory, session_id)
            and (tail := self.tail(directory, session_id))
        }

    def describe(self, directory: str, session_id: str) -> Recorded | None:
        """What its transcript says of a session, None if that is no conversation."""
        from claude_agent_sdk import get_session_info_from_store

        work = get_session_info_from_store(self._store, session_id, directory)
        info = asyncio.run(work)
        if info is None:
            return None
        changed = info.last_modified / 1e3
        created = (info.created_at or info.last_modified) / 1e3
        return Recorded(session_id, info.summary, created, changed)

    def messages(self, directory: str, session_id: str) -> list[Entry]:
        """The messages of the conversation as it stands, in order.

        Each has `uuid`, `type` (user or assistant) and `message`, which is one of the
        Messages API.
        """
        from claude_agent_sdk import get_session_messages_from_store

        work = get_session_messages_from_store(self._store, session_id, directory)
        return [
            {"uuid": found.uuid, "type": found.type, "message": found.message}
            for found in asyncio.run(work)
        ]

    def fork(self, directory: str, session_id: str, title: str) -> str | None:
        """Copy the conversation; the id of the copy, None if there is nothing yet."""
        from claude_agent_sdk import fork_session_via_store

        work = fork_session_via_store(
            self._store, session_id, directory, title=title or None
        )
        try:
            return asyncio.run(work).session_id
        except (FileNotFoundError, ValueError):
            return None

    def rename(self, directory: str, session_id: str, title: str) -> None:
        """Have Claude Code show the session by `title`."""
        from claude_agent_sdk import rename_session_via_store

        if title.strip() and self._files.path(directory, session_id).exists():
            work = rename_session_via_store(self._store, session_id, title, directory)
            asyncio.run(work)

    def move(self, before: str, now: str, session_ids: Collection[str] = ()) -> None:
        """Take the transcripts of a directory along, from where it was to where it is.

        They are those of the sessions `session_ids`, and those that began there.
        """
        target = self._files.folder(now)
        target.mkdir(mode=0o700, parents=True, exist_ok=True)
        for session_id in self.recorded(before):
            if session_id not in session_ids and not self._began_in(before, session_id):
                continue
            path = self._files.path(before, session_id)
            for mine in (path, path.with_suffix("")):
                if mine.exists() and not (there := target / mine.name).exists():
                    mine.rename(there)

    def delete(self, directory: str, session_id: str) -> None:
        """Remove the transcript, if there is one."""
        path = self._files.path(directory, session_id)
        path.unlink(missing_ok=True)
        # What its sub-agents and tools had to say.
        shutil.rmtree(path.with_suffix(""), ignore_errors=True)


class _Files:
    """The transcripts as the SDK's ``SessionStore``.

    Its functions for files look for them below the directory that *this* process's
    environment names, and the CLI's may be another.
    """

    def __init__(self, root: Path) -> None:
        self._root = root

    def folder(self, directory: str) -> Path:
        from claude_agent_sdk import project_key_for_directory

        return self._folder(project_key_for_directory(directory))

    def path(self, directory: str, session_id: str) -> Path:
        return self.folder(directory) / f"{_checked(session_id)}.jsonl"

    async def load(self, key: Mapping[str, str]) -> list[Any] | None:
        try:
            with self._path(key).open("rb") as file:
                return [entry for line in file if (entry := _parsed(line))]
        except FileNotFoundError:
            return None

    async def append(self, key: Mapping[str, str], entries: list[Any]) -> None:
        path = self._path(key)
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        lines = [json.dumps(entry, separators=(",", ":")) + "\n" for entry in entries]
        with path.open("a") as file:
            file.write("".join(lines))

    def _path(self, key: Mapping[str, str]) -> Path:
        folder = self._folder(key["project_key"])
        return folder / f"{_checked(key['session_id'])}.jsonl"

    def _folder(self, key: str) -> Path:
        if len(key) > HASHED_FROM:
            for path in self._root.glob(f"{key[:HASHED_FROM]}-*"):
                return path
        return self._root / key


def _checked(session_id: str) -> str:
    if not _is_uuid(session_id):
        raise ValueError(f"no session id: {session_id!r}")
    return session_id


def _is_uuid(text: str) -> bool:
    try:
        return str(uuid.UUID(text)) == text
    except ValueError:
        return False


def _backwards(path: Path) -> Iterator[Entry]:
    """The entries of a transcript, the last first."""
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
    # The last line may still be in the writing, or was cut by a crash.
    try:
        entry = json.loads(line)
    except ValueError:
        return None
    return cast(Entry, entry) if isinstance(entry, dict) else None
