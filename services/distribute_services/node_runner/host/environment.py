"""The environment variables that jobs get from their node."""

from __future__ import annotations

import locale
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from distribute.core.spec.container import FOR_APPTAINER
from distribute.core.spec.recipe import Recipe
from distribute.core.spec.setup_script import Login

_PASSED_ON = frozenset(
    {"PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LANGUAGE", "TZ", "TMPDIR", "LD_LIBRARY_PATH"}
)
_NO_LOCALE = frozenset({"", "C", "POSIX"})
UTF8 = "C.UTF-8"


@dataclass(frozen=True, slots=True)
class NodeEnvironment:
    """The environment that this node gives to jobs.

    `inherited` are the variables that come from the node-runner's own environment: in a job with a login
    shell, the node's profiles may set these otherwise. `path` and `hidden` are as in `Login`.
    """

    variables: Mapping[str, str]
    inherited: frozenset[str]
    path: Sequence[str]
    hidden: str | None

    @classmethod
    def of(cls, runner: Mapping[str, str], env: Mapping[str, str], path: Sequence[str]) -> NodeEnvironment:
        """From the node-runner's environment, and what the node's admin chose for jobs."""
        hidden = own_programs()
        base = base_environment(runner, hidden)
        return cls(chosen(base, env, path), frozenset(base.keys() - env.keys()), path, hidden)

    def login(self, recipe: Recipe, environment: Mapping[str, str]) -> Login:
        """What profiles can't change in the `environment` of a job: what was chosen for it."""
        if recipe.shell is None:
            return Login()  # there is none that reads profiles
        if recipe.image is None:
            free = self.inherited - recipe.variables.keys()
        else:  # its own variables have other names, and it has a locale of its own
            free = self.inherited.intersection(FOR_APPTAINER)
        kept = {name: value for name, value in environment.items() if name not in free}
        return Login(kept, self.path, self.hidden)


def own_programs() -> str | None:
    """The folder of programs of the Python environment in which distribute is installed.

    Returns None if it is installed for the whole computer: jobs may use that Python.
    """
    prefix = Path(sys.prefix)
    if sys.prefix == sys.base_prefix and not (prefix / "conda-meta").is_dir():
        return None
    return str(prefix / "bin")


def has_locale(name: str) -> bool:
    """Does this computer have a locale?"""
    before = locale.setlocale(locale.LC_CTYPE)
    try:
        locale.setlocale(locale.LC_CTYPE, name)
    except locale.Error:
        return False
    locale.setlocale(locale.LC_CTYPE, before)
    return True


def base_environment(
    environment: Mapping[str, str],
    own: str | None = None,
    *,
    knows: Callable[[str], bool] = has_locale,
) -> dict[str, str]:
    """The variables that a job gets from the node-runner's environment: paths, the user and the language.

    It gets no others: the runner may have been started from a desktop, and other people's jobs must not see
    its keys, agents and sockets. Nor does a job find the programs in `own`, such as distribute's own Python.
    Where the runner has no locale, as in a service, text is UTF-8 if the node `knows` that.
    """
    found = {
        name: value for name, value in environment.items() if name in _PASSED_ON or name.startswith("LC_")
    }
    if own is not None and "PATH" in found:
        found["PATH"] = without(found["PATH"], own)
    return found | _utf8(found, knows)


def chosen(base: Mapping[str, str], env: Mapping[str, str], path: Sequence[str]) -> dict[str, str]:
    """The same with the variables that the node's admin chose for jobs, and these folders first in PATH."""
    found = {**base, **env}
    if path:
        found["PATH"] = os.pathsep.join([*path, found.get("PATH", os.defpath)])
    return found


def without(path: str, folder: str) -> str:
    """The search path `path` without this folder, also if it has other names there."""
    left_out = os.path.realpath(folder)
    kept = [entry for entry in path.split(os.pathsep) if not entry or os.path.realpath(entry) != left_out]
    return os.pathsep.join(kept) or os.defpath


def _utf8(found: Mapping[str, str], knows: Callable[[str], bool]) -> dict[str, str]:
    """The variables that make text UTF-8, if `found` chooses no locale."""
    chosen = next((found[name] for name in ("LC_ALL", "LC_CTYPE", "LANG") if found.get(name)), "")
    if chosen not in _NO_LOCALE or not knows(UTF8):
        return {}
    # LC_ALL wins over all others, so it can only be replaced.
    return {"LC_ALL" if found.get("LC_ALL") else "LC_CTYPE": UTF8}
