"""Start a unit's process.

It gets a session of its own, its folder as working directory, an empty standard input, one file for both
outputs, default signal dispositions, and none of the keeper's open files.
"""

from __future__ import annotations

import os
import signal

from distribute_services.node_runner.keeper.guest import Inherited, be_nice
from distribute_services.node_runner.keeper.other_user import Covered
from distribute_services.node_runner.keeper.view import NO_SUCH_PROGRAM, Looks, NotStartedError, NoViewError
from distribute_services.node_runner.keeper.view import spawn as spawn_in_view

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from distribute_services.node_runner.keeper.entering import Inside
    from distribute_services.node_runner.keeper.guest import Manners
    from distribute_services.node_runner.keeper.view import View

_RESET_SIGNALS = frozenset(map(int, signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}))


class CannotSpawn(Exception):
    """A process can't be started.

    `step`: what failed, `program`, `output`, `view` or `start`. `code`: its errno. `looks`: what is there.
    """

    def __init__(self, step: str, code: int | None, text: str, looks: Looks | None = None) -> None:
        super().__init__(step, code, text)
        self.step = step
        self.code = code
        self.text = text
        self.looks = looks

    def told(self) -> dict[str, Any]:
        """The same in a message."""
        looks = self.looks
        seen = [looks.has_folder, looks.exists, looks.is_folder] if looks is not None else None
        return {"step": self.step, "code": self.code, "text": self.text, "looks": seen}


def spawn(
    argv: list[str], cwd: str, env: Mapping[str, str], stdout: str, manners: Manners, view: View | None = None
) -> int:
    """Start `argv` in `cwd`, or in the folder of `view`, with exactly the environment `env`. Returns its pid.

    Appends both outputs to `stdout`. Looks up a program without a `/` in the PATH of `env`, as the process
    itself would: a relative entry is below its folder.

    Raises:
        CannotSpawn: why not.
    """
    try:
        output = os.open(stdout, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    except OSError as error:
        raise CannotSpawn("output", error.errno, str(error)) from error
    user = manners.user
    seen = view if user is None else Covered(user, cwd, view)
    try:
        if user is not None:
            os.fchown(output, user.uid, user.gid)  # it may open it anew, as /dev/stdout
        with Inherited(manners):
            if seen is None:
                pid = _spawn(argv, cwd, env, output)
            else:
                pid = spawn_in_view(seen, argv, env, output, user=user)
    except (OSError, ValueError) as error:
        raise _why_not(error, argv[0], cwd) from error
    finally:
        os.close(output)
    be_nice(pid, manners.niceness)
    return pid


def spawn_command(
    inside: Inside, argv: list[str], env: Mapping[str, str], stdout: str, stderr: str, manners: Manners
) -> int:
    """Start `argv` as `spawn` does, where `inside` leads. Returns its pid.

    `stdout` and `stderr` are pipes that have a reader. Nothing waits for one.

    Raises:
        CannotSpawn: why not.
    """
    outputs: list[int] = []
    try:
        for path in (stdout, stderr):
            outputs.append(os.open(path, os.O_WRONLY | os.O_NONBLOCK))
            os.set_blocking(outputs[-1], True)
        with Inherited(manners):
            pid = spawn_in_view(inside, argv, env, *outputs, user=manners.user)
    except (OSError, ValueError) as error:
        raise _why_not(error, argv[0], inside.at) from error
    finally:
        for output in outputs:
            os.close(output)
    be_nice(pid, manners.niceness)
    return pid


def _why_not(error: OSError | ValueError, program: str, cwd: str) -> CannotSpawn:
    match error:
        case NoViewError():
            return CannotSpawn("view", error.errno, str(error))
        case NotStartedError():
            step = "program" if error.errno == NO_SUCH_PROGRAM else "start"
            return CannotSpawn(step, error.errno, str(error), error.looks)
        case OSError():
            return CannotSpawn("start", error.errno, str(error), Looks.of(program, cwd))
        case ValueError():  # a NUL byte, or a `=` in a variable's name
            return CannotSpawn("start", None, str(error))


def _spawn(argv: list[str], cwd: str, env: Mapping[str, str], output: int) -> int:
    """Start a process by posix_spawn.

    Processor time of a start and the end of `/bin/true`, measured on two cores: posix_spawn 57 µs,
    subprocess.Popen 110 to 130 µs. Popen would also keep ignored signals ignored. posix_spawn can't set the
    working directory, so this process changes its own for a moment.
    """
    try:
        os.chdir(cwd)
        return os.posix_spawn(
            _find(argv[0], env),
            argv,
            env,
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
                (os.POSIX_SPAWN_DUP2, output, 1),
                (os.POSIX_SPAWN_DUP2, output, 2),
            ],
            setsid=True,
            setsigmask=(),
            setsigdef=_RESET_SIGNALS,
        )
    finally:
        os.chdir("/")


def _find(program: str, env: Mapping[str, str]) -> str:
    if "/" in program:
        return program
    refused = None
    for folder in env.get("PATH", os.defpath).split(os.pathsep):
        path = f"{folder or '.'}/{program}"
        if os.path.isfile(path):  # noqa: PTH113 (no pathlib here)
            if os.access(path, os.X_OK):
                return path
            refused = refused or path
    if refused is not None:
        return refused  # the kernel says why it is not started
    raise NotStartedError(NO_SUCH_PROGRAM, Looks.of(program, "."))
