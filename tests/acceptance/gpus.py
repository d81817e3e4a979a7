"""A computer with two GPUs. A script stands in for their driver."""

from __future__ import annotations

import os
from pathlib import Path

NVIDIA_SMI = """#!/bin/sh
case "$*" in
*utilization*) printf '0\\n0\\n' ;;
*name*) printf 'RTX 3090\\nGT 710\\n' ;;
*memory.total*) printf '24576\\n2048\\n' ;;
esac
"""


def path_with_gpus(folder: Path) -> str:
    """Write the script into a folder of its own. Returns the PATH on which processes find it."""
    programs = folder / "bin"
    programs.mkdir(parents=True)
    (programs / "nvidia-smi").write_text(NVIDIA_SMI)
    (programs / "nvidia-smi").chmod(0o755)
    return f"{programs}{os.pathsep}{os.environ['PATH']}"
