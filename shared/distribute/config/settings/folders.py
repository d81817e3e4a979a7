"""Where this user's settings and state are kept."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from pathlib import Path

from distribute.core.errors import InputError


def config_dir(environ: Mapping[str, str] = os.environ) -> Path:
    """This user's settings: `$XDG_CONFIG_HOME/distribute`, by default `~/.config/distribute`."""
    return _xdg_dir(environ, "XDG_CONFIG_HOME", ".config")


def notify_file(environ: Mapping[str, str] = os.environ) -> Path | None:
    """This user's `notify.yaml`; None if there is none."""
    path = config_dir(environ) / "notify.yaml"
    return path if os.access(path, os.F_OK) else None


def state_dir(environ: Mapping[str, str] = os.environ) -> Path:
    """What must survive a restart: `$XDG_STATE_HOME/distribute`, by default `~/.local/state/distribute`."""
    return _xdg_dir(environ, "XDG_STATE_HOME", ".local/state")


def cache_dir(environ: Mapping[str, str] = os.environ) -> Path:
    """What can be made anew: `$XDG_CACHE_HOME/distribute`, by default `~/.cache/distribute`."""
    return _xdg_dir(environ, "XDG_CACHE_HOME", ".cache")


def embedded_cluster_file(environ: Mapping[str, str] = os.environ) -> Path:
    """The record of the cluster that verbs go to by default: the first that this user runs here."""
    return state_dir(environ) / "up.json"


def local_clusters_dir(environ: Mapping[str, str] = os.environ) -> Path:
    """Records of all clusters that this user runs on this computer. Several computers may share the home."""
    return state_dir(environ) / "clusters" / socket.gethostname()


def default_cluster_dir(verb: str, environ: Mapping[str, str] = os.environ) -> Path:
    """Where `distribute up` or `distribute server` keeps its cluster without --dir."""
    return state_dir(environ) / {"up": "cluster", "server": "server"}[verb]


def short(path: str, environ: Mapping[str, str] = os.environ) -> str:
    """A path for people to read: `~/…` if it is in the user's home."""
    home = environ.get("HOME", "").rstrip("/")
    return f"~{path.removeprefix(home)}" if home and path.startswith(f"{home}/") else path


def home_expanded(path: Path) -> Path:
    """`path` with a leading `~` or `~USER` replaced by that home folder, as a shell would do it.

    A shell leaves it as it is in `--option=~/results`. A file that is really called `~USER` is itself.

    Raises:
        InputError: there is no such user, or the user has no home.
    """
    written = str(path)
    if not written.startswith("~"):
        return path
    expanded = os.path.expanduser(written)  # noqa: PTH111 - Path.expanduser raises an error of its own
    if not expanded.startswith("~"):
        return Path(expanded)
    if os.path.lexists(path.parts[0]):
        return path
    whose = "you have no home folder" if path.parts[0] == "~" else f"there is no user {path.parts[0][1:]!r}"
    raise InputError(f"{written!r}: {whose}; write the folder's path, or ./{path} if its name begins with ~")


_NO_HOME = Path("/nonexistent")
"""As passwd has it for users without a home. Nothing is there to be read, and nothing can be written."""


def _xdg_dir(environ: Mapping[str, str], variable: str, default: str) -> Path:
    home = Path(environ.get("HOME") or os.path.expanduser("~"))  # noqa: PTH111 - Path.expanduser raises if there is no home
    # Relative paths are ignored, as https://specifications.freedesktop.org/basedir-spec/ demands.
    places = (Path(environ.get(variable, "")), home / default, _NO_HOME / default)
    return next(path for path in places if path.is_absolute()) / "distribute"
