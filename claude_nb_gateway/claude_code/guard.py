"""The CLI settings that keep a turn in a project away from protected paths. Pure.

The reasons for the settings were observed on Claude Code 2.1.331. Deny rules apply in
every permission mode. They also apply to links to a denied path, to the results of
`Grep` and `Glob`, and (`Read`) to the imports of a CLAUDE.md. They do not restrict
Bash and MCP servers.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from .profile import Profile

Settings = dict[str, Any]

# The configuration of a repository can make git run programs (`core.fsmonitor`,
# filters, …). Even `git status` runs them, which the CLI considers read-only.
UNTRUSTED_COMMANDS = ("Bash(git:*)",)

# The CLI's default directory for plans is denied.
PLANS_DIRECTORY = ".claude/plans"

AUTO_MEMORY = "CLAUDE_CODE_DISABLE_AUTO_MEMORY"

# Everything in a configuration directory except `projects/*/memory`. Rules have no
# syntax for exceptions.
_ALL_BUT_MEMORY = (
    "[a-oq-z0-9._-]*",
    "p[a-qs-z0-9._-]*",
    "projects/*/[a-ln-z0-9._-]*",
)


@dataclass(frozen=True)
class Guarded:
    """The protected paths, as `.gitignore` patterns that start with ``/``.

    Parameters
    ----------
    configuration:
        The CLI's configuration directories.
    credentials:
        The files that give access to the account, in any directory.
    private:
        Paths that must be neither read nor written.
    restrictions:
        The part of the user's own Claude Code settings that forbids something.
    """

    configuration: tuple[str, ...] = ()
    credentials: tuple[str, ...] = ()
    private: tuple[str, ...] = ()
    restrictions: Mapping[str, Any] = field(default_factory=dict)


def pattern(path: str) -> str:
    """`path` as a pattern; ``?`` replaces the special characters of patterns."""
    return re.sub(r"[\[\](){}!+@|*?\\]", "?", path)


def settings_for(profile: Profile, guarded: Guarded) -> Settings:
    """The settings of a process in a project; only managed settings override them."""
    denied = [*_denied("Read", guarded.private), *_denied("Edit", guarded.private)]
    denied += _denied("Read", guarded.credentials)
    denied += _denied("Edit", guarded.credentials)
    for path in guarded.configuration:
        if not profile.personal:
            denied += _denied("Read", [path])
        if profile.user_memory:
            denied += _denied("Edit", [f"{path}/{rest}" for rest in _ALL_BUT_MEMORY])
        else:
            denied += _denied("Edit", [path])
    if not profile.trusted:
        denied += UNTRUSTED_COMMANDS
    settings: Settings = {
        "plansDirectory": PLANS_DIRECTORY,
        "permissions": {"deny": denied},
    }
    if not profile.user_memory:
        settings |= _without_memory(guarded)
    if not profile.personal:
        _restrict(settings, guarded.restrictions)
    return settings


def restrictions_in(settings: Any, directory: str) -> Settings:
    """The part of a user's `settings`, in `directory`, that forbids something."""
    if not isinstance(settings, dict):
        return {}
    found: Settings = {}
    permissions = settings.get("permissions")
    for kind in ("deny", "ask"):
        rules = permissions.get(kind) if isinstance(permissions, dict) else None
        if isinstance(rules, list):
            own = [_absolute(rule, directory) for rule in rules if type(rule) is str]
            found.setdefault("permissions", {})[kind] = own
    if isinstance(settings.get("sandbox"), dict):
        found["sandbox"] = settings["sandbox"]
    return found


def _absolute(rule: str, directory: str) -> str:
    # A path with one slash is relative to the directory of its settings.
    return re.sub(r"^(\w+\()/(?!/)", lambda m: f"{m[1]}/{pattern(directory)}/", rule)


def _denied(tool: str, paths: Iterable[str]) -> list[str]:
    # Two slashes are the root; `Edit` stands for all tools that write.
    return [f"{tool}(/{rule})" for path in paths for rule in (path, f"{path}/**")]


def _without_memory(guarded: Guarded) -> Settings:
    settings: Settings = {
        "claudeMdExcludes": [f"{path}/**" for path in guarded.configuration],
        # The settings of a trusted folder override a variable, but not this setting.
        "env": {AUTO_MEMORY: "1"},
    }
    for path in guarded.configuration[:1]:
        # Writing to the user's memory directory needs no permission, even if nothing
        # reads the memory. Writing to this directory is denied.
        settings["autoMemoryDirectory"] = f"{path}/projects/none/memory"
    return settings


def _restrict(settings: Settings, restrictions: Mapping[str, Any]) -> None:
    for kind, rules in restrictions.get("permissions", {}).items():
        settings["permissions"].setdefault(kind, []).extend(rules)
    if "sandbox" in restrictions:
        settings["sandbox"] = restrictions["sandbox"]
