"""Find out whether Apptainer runs containers on this computer, by running one."""

from __future__ import annotations

import base64
import os
import re
import shutil
import zlib
from collections.abc import Mapping
from pathlib import Path

from distribute.core.errors import InputError
from distribute.core.os_words import cause
from distribute.core.spec import container
from distribute.scratch import scratch_folder
from distribute_services.node_runner.host.ask import Answer, call, closed_to
from distribute_services.node_runner.host.container_faults import why_not
from distribute_services.node_runner.host.run_as import Person

ANSWERS_WITHIN_S = 30.0
"""It takes 0.1 s as root, and 0.4 s as a user whose Apptainer unpacks the image."""

NOT_INSTALLED = "it is not installed"

_WORD = "it runs"
_IMAGE = """
eNrLKC4s5mOAASYwycggyHAASLIA2QsYITJlUDoPSv+HggSozo1Q2gAqnwCl/RkqbiWnVJw+wcBqwCYsYMxsKB/Bo3jexWHe
zAYbbsbKMKZPOSxPbnKeKBaY8FxF4byrw7zZDTb6s2z4gSjIwivx4vl2l/MJAukP2C8xBAbzh9aCDExoYIhT8EtISQCiJI2T
ug/auIwPZaq1LTljw6rAfMTHU7eYIUghLcuziInZeMLJMxMmzp9968ABJrFzJ32iDhzgStnUMCNNjV3ixoEsrq5Pk+UNNjTf
dP35U5WnRybh69GpR7l65hi8lpXYeeDMpUeL2NzyDDbrbORgmMolPk8Paj2rxluGpcILSpinxDEs5Xd4yR4wq1FwlbyXtcNL
No25DEvFHTIZFBVZ02HhwdIAIjMYGUbBKBgFo2AUjIJRMApGwSgYBaNgFIyCAQAAELFyUQ==
"""
"""A squashfs image of empty folders, compressed, for any kind of computer. It was made of bin, dev, etc,
home, lib, lib64, proc, root, sys, tmp, usr and var/tmp by `mksquashfs FOLDER FILE -all-root -all-time 0
-mkfs-time 0`."""
_COLOURS = re.compile(r"\x1b\[\d*m")
_OF_PROGRAMS = ("bin", "lib", "lib64", "usr")


async def why_no_containers(environment: Mapping[str, str], who: Person | None = None) -> str | None:
    """Why this computer can't run containers for jobs that get this environment and user; None: it can.

    It runs one that reads a file, with the options that those of jobs get. The image has nothing in it: the
    computer's own `cat` runs in there.
    """
    cat = shutil.which("cat", path=environment.get("PATH", os.defpath))
    if cat is None:
        return "there is no program `cat` to try it with"
    try:
        # What a runner leaves here that is killed meanwhile is removed by the next one's trial.
        with scratch_folder("apptainer") as scratch:
            answer = await _run(_folder_for(who, scratch), os.path.realpath(cat), environment, who)
    except InputError as error:
        return str(error)
    except OSError as error:
        return f"the files to try it with can't be written: {cause(error)}"
    if answer is None:
        path = closed_to(who, "apptainer", environment)
        return NOT_INSTALLED if path is None else f"the user of this node's jobs may not run {path}"
    if answer.exit_code == 0 and answer.out == _WORD:
        return None
    return _words(answer)


def _folder_for(who: Person | None, scratch: Path) -> Path:
    """A new folder that belongs to the user, in one that stays ours: its lock says that it is in use."""
    folder = scratch / "trial"
    folder.mkdir()
    if who is not None:
        os.chown(folder, who.entry.pw_uid, who.entry.pw_gid)
        scratch.chmod(0o711)
    return folder


async def _run(folder: Path, cat: str, environment: Mapping[str, str], who: Person | None) -> Answer | None:
    image = folder / "empty.squashfs"
    image.write_bytes(zlib.decompress(base64.b64decode(_IMAGE)))
    (folder / container.SCRATCH).mkdir()
    (folder / "input").mkdir()
    (folder / "input" / "word").write_text(_WORD)
    if who is not None:
        environment = who.environment(environment)
        for path in folder.rglob("*"):
            os.chown(path, who.entry.pw_uid, who.entry.pw_gid)
    tops = sorted({*_OF_PROGRAMS, Path(cat).parts[1]})
    binds = [f"/{top}:/{top}:ro" for top in tops if Path("/", top).is_dir()]
    return await call(
        "apptainer", "exec", *container.OPTIONS, "--workdir", str(folder / container.SCRATCH),
        "--bind", ",".join([*binds, f"{folder}/input:/input:rw"]), str(image), cat, "/input/word",
        environment=container.environment(environment, {}, {}, str(folder)),
        who=who,
        within_s=ANSWERS_WITHIN_S,
    )  # fmt: skip


def _words(answer: Answer) -> str:
    if answer.exit_code is None:
        return f"it did not run a container within {ANSWERS_WITHIN_S:g} s"
    printed = _COLOURS.sub("", f"{answer.out}\n{answer.err}").splitlines()
    if (why := why_not(printed)) is not None:
        return why
    last = next((line for line in reversed(printed) if line.strip()), "it printed nothing")
    return f"it ran no container (exit code {answer.exit_code}): {last.strip()[:200]}"
