"""What a turn in a project must keep out of, as settings of the CLI. Pure.

Why each of them is there was seen on Claude Code 2.1.331. Rules to deny hold in every
permission mode, for links that lead to a place too, for what `Grep` and `Glob` find,
and (`Read`) for what a CLAUDE.md imports. They do not bind Bash, nor MCP servers.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from .profile import Profile

Settings = dict[str, Any]

# What a repository's own configuration has git run (`core.fsmonitor`, filters, …) would
# run with `git status`, which the CLI takes for mere reading.
UNTRUSTED_COMMANDS = ("Bash(git:*)",)

# Where a plan is written, which in the CLI's own place would be denied.
PLANS = ".claude/plans"

AUTO_MEMORY = "CLAUDE_CODE_DISABLE_AUTO_MEMORY"

# All that is in a directory of configuration but `projects/*/memory`. There is no
# word for "all but" in a rule.
_ALL_BUT_MEMORY = (
    "[a-oq-z0-9._-]*",
    "p[a-qs-z0-9._-]*",
    "projects/*/[a-ln-z0-9._-]*",
)


@dataclass(frozen=True)
class Guarded:
    """Places of this machine, as patterns of `.gitignore` that begin with ``/``.

    Parameters
    ----------
    configuration:
        The CLI's directories of configuration.
    credentials:
        What opens the account, wherever it is.
    private:
        What is neither read nor written.
    restrictions:
        What the user's own settings of Claude Code forbid.
    """

    configuration: tuple[str, ...] = ()
    credentials: tuple[str, ...] = ()
    private: tuple[str, ...] = ()
    restrictions: Mapping[str, Any] = field(default_factory=dict)


def pattern(path: str) -> str:
    """`path` as a pattern; what has a meaning in patterns matches any character."""
    return re.sub(r"[\[\](){}!+@|*?\\]", "?", path)


def settings_for(profile: Profile, guarded: Guarded) -> Settings:
    """The settings of a process in a project, over all others but the machine's."""
    denied = [*_denied("Read", guarded.private), *_denied("Edit", guarded.private)]
    denied += _denied("Read", guarded.credentials)
    denied += _denied("Edit", guarded.credentials)
    for place in guarded.configuration:
        if not profile.personal:
            denied += _denied("Read", [place])
        if profile.user_memory:
            denied += _denied("Edit", [f"{place}/{rest}" for rest in _ALL_BUT_MEMORY])
        else:
            denied += _denied("Edit", [place])
    if not profile.trusted:
        denied += UNTRUSTED_COMMANDS
    settings: Settings = {"plansDirectory": PLANS, "permissions": {"deny": denied}}
    if not profile.user_memory:
        settings |= _without_memory(guarded)
    if not profile.personal:
        _restrict(settings, guarded.restrictions)
    return settings


def restrictions_in(settings: Any, directory: str) -> Settings:
    """What of a user's `settings`, in `directory`, forbids something."""
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
    # With one slash a path begins where the settings are that have the rule.
    return re.sub(r"^(\w+\()/(?!/)", lambda m: f"{m[1]}/{pattern(directory)}/", rule)


def _denied(tool: str, places: Iterable[str]) -> list[str]:
    # Two slashes are the root; `Edit` is all that writes.
    return [f"{tool}(/{rule})" for place in places for rule in (place, f"{place}/**")]


def _without_memory(guarded: Guarded) -> Settings:
    settings: Settings = {
        "claudeMdExcludes": [f"{place}/**" for place in guarded.configuration],
        # Over the settings of a trusted folder, which would win over a variable.
        "env": {AUTO_MEMORY: "1"},
    }
    for place in guarded.configuration[:1]:
        # What is written to the user's own place of it needs no leave, though nobody
        # reads it: here it is denied.
        settings["autoMemoryDirectory"] = f"{place}/projects/none/memory"
    return settings


def _restrict(settings: Settings, restrictions: Mapping[str, Any]) -> None:
    for kind, rules in restrictions.get("permissions", {}).items():
        settings["permissions"].setdefault(kind, []).extend(rules)
    if "sandbox" in restrictions:
        settings["sandbox"] = restrictions["sandbox"]
