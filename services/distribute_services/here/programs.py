"""Which capabilities are programs that this computer has."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable

from distribute_services.node_runner.host.environment import base_environment, own_programs

_DETECTED = frozenset({"apptainer", "gpu"})
"""A node looks for these by trying them: a program of this name proves nothing."""


def programs_among(capabilities: Iterable[str]) -> frozenset[str]:
    """Those of these capabilities that are the name of a program that jobs find here, such as `gfortran`."""
    path = base_environment(os.environ, own_programs()).get("PATH")
    found = {
        name for name in set(capabilities) - _DETECTED if "/" not in name and shutil.which(name, path=path)
    }
    return frozenset(found)
