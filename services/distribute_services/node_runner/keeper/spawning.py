"""Start a unit's process.

It gets a session of its own, its folder as working directory, an empty standard input, one file for both
outputs, default signal dispositions, and none of the keeper's open files.
"""

from __future__ import annotations

import os
import signal

from distribute_services.node_runner.keeper.guest import Inherited, be_nice
from distribute_services.node_runner.keeper.view import NO_SUCH_PROGRAM, Looks, NotStartedError, NoViewError
from distribute_services.node_runner.keeper.view import spawn as spawn_in_view

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

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
    try:
        with Inherited(manners):
            pid = _spawn(argv, cwd, env, output) if view is None else spawn_in_view(view, argv, env, output)
    except NoViewError as error:
        raise CannotSpawn("view", error.errno, str(error)) from error
    except NotStartedError as error:
        step = "program" if error.errno == NO_SUCH_PROGRAM else "start"
        raise CannotSpawn(step, error.errno, str(error), error.looks) from error
    except OSError as error:
        raise CannotSpawn("start", error.errno, str(error), Looks.of(argv[0], cwd)) from error
    except ValueError as error:  # a NUL byte, or a `=` in a variable's name
        raise CannotSpawn("start", None, str(error)) from error
    finally:
        os.close(output)
    be_nice(pid, manners.niceness)
    return pid


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
