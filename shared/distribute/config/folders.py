"""Where this user's settings and state are kept."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path


def config_dir(environ: Mapping[str, str] = os.environ) -> Path:
    """This user's settings: `$XDG_CONFIG_HOME/distribute`, by default `~/.config/distribute`."""
    return _xdg_dir(environ, "XDG_CONFIG_HOME", ".config")


def state_dir(environ: Mapping[str, str] = os.environ) -> Path:
    """What must survive a restart: `$XDG_STATE_HOME/distribute`, by default `~/.local/state/distribute`."""
    return _xdg_dir(environ, "XDG_STATE_HOME", ".local/state")


def embedded_cluster_file(environ: Mapping[str, str] = os.environ) -> Path:
    """The file in which `distribute up` records the cluster that it runs."""
    return state_dir(environ) / "up.json"


def _xdg_dir(environ: Mapping[str, str], variable: str, default: str) -> Path:
    home = Path(environ.get("HOME") or os.path.expanduser("~"))  # noqa: PTH111 - Path.expanduser raises if there is no home
    # Relative paths are ignored, as https://specifications.freedesktop.org/basedir-spec/ demands.
    base = next(path for path in (Path(environ.get(variable, "")), home / default) if path.is_absolute())
    return base / "distribute"
