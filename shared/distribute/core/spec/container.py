"""How the program `apptainer` is called, so that a container shows its job what it should see, and no more.

The contract of an image is `apptainer run --app distribute --bind <in>:/input:rw,<out>:/distribute_save:rw
image.sif <cores>`. The options here keep everything else of the node out of the container: its home folders,
its `/tmp`, its environment and its devices (`docs/containers.md` tells people).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

SCRATCH = "container"
"""The folder of the job in which the container has its home and its `/tmp`."""
HOME_IN_SCRATCH = f"{SCRATCH}/home"
"""Where Apptainer puts the job's home in that folder."""

OPTIONS = ("--pid", "--contain")
"""Options of every container.

`--pid`: no process outlives it. `--contain`: `/dev`, `/tmp` and the home are its own."""

FOR_APPTAINER = ("PATH", "HOME", "USER", "LOGNAME", "LD_LIBRARY_PATH")
"""Variables of the node that the program `apptainer` itself needs. It hands no PATH, HOME or LD_LIBRARY_PATH
on to the container."""
_OF_THE_NODE = frozenset({*FOR_APPTAINER, "SHELL", "TMPDIR", "LANG", "LANGUAGE"})
"""Variables whose values are of no use in a container: it lacks these folders, programs and locales."""
_RUNTIME = ("APPTAINER", "SINGULARITY")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def argv(
    command: Iterable[str], *, folder: str, image: str, binds: Iterable[tuple[str, str]], has_gpus: bool
) -> list[str]:
    """The command, with the options that run the app `distribute` of an image.

    `binds` are folders in the job's `folder`, each with its path in the container.
    """
    start = f"{folder}/" if _can_be_bound(folder) else ""  # it is the working directory
    mounts = ",".join(f"{start}{name}:{target}:rw" for name, target in binds)
    own = ["--workdir", f"{folder}/{SCRATCH}", *(["--nv"] if has_gpus else [])]
    return [*command, *OPTIONS, *own, "--app", "distribute", "--bind", mounts, image]


def environment(
    node: Mapping[str, str], defaults: Mapping[str, str], own: Mapping[str, str], folder: str
) -> dict[str, str]:
    """The environment of the program `apptainer`, by which the container gets its own.

    In the container, `own` replaces what the image sets, which replaces the variables of the `node` and the
    `defaults`. Names like `APPTAINER_BIND` are for the program, not for the container.
    """
    found = {name: value for name, value in node.items() if name in FOR_APPTAINER}
    found |= {"LANG": "C.UTF-8", **defaults}
    found |= {
        name: value for name, value in node.items() if name not in _OF_THE_NODE and not name.startswith("LC_")
    }
    for name, value in own.items():
        is_for_container = _NAME.fullmatch(name) and not name.startswith(_RUNTIME)
        found[f"APPTAINERENV_{name}" if is_for_container else name] = value
    # Without this, a `$` or a backtick in the value of a variable would be obeyed in the container.
    found["APPTAINER_NO_EVAL"] = "1"
    # Without squashfuse, a user's Apptainer unpacks the image: on the disk of the job, so that what it leaves
    # when it is killed is removed with the job.
    if _can_be_bound(folder):
        found["APPTAINER_TMPDIR"] = f"{folder}/{SCRATCH}"
    # Else Apptainer 1.4 removes an image that it has unpacked, as if it had fetched it.
    found["APPTAINER_DISABLE_CACHE"] = "false"
    return found


def _can_be_bound(folder: str) -> bool:
    """Can `--bind` take an absolute path of this folder? It has no way to write every path."""
    return not {",", ":"}.intersection(folder)
