"""As whom jobs and builds run: as the node-runner's own user, or, if that is root, as the one of `run_as`."""

from __future__ import annotations

import logging
import os
import pwd
import shutil
import stat
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from distribute.core.errors import InputError
from distribute.core.os_words import why
from distribute_services.node_runner.disk.private_copies import TRIAL
from distribute_services.node_runner.keeper.other_user import Covered, OtherUser
from distribute_services.node_runner.keeper.view import NoViewError, spawn

log = logging.getLogger(__name__)

_NO_SHELLS = frozenset({"nologin", "false", ""})
_GPU_FILES = ("nvidiactl", "nvidia-uvm", "nvidia[0-9]*")
_MAY_PASS, _MAY_USE = 1, 6

AS_ROOT = (
    "this node runs as root, so the jobs of everybody who reaches the cluster do, too. Write `run_as: USER`"
    " into node.yaml to run them as another user (or `run_as: root`, if you want this), or start the node as"
    " another user"
)


class Person(NamedTuple):
    """A user of this computer, and their groups."""

    entry: pwd.struct_passwd
    groups: Sequence[int]

    @property
    def name(self) -> str:
        return self.entry.pw_name

    def may(self, path: Path, right: int) -> bool:
        """Has the user this right (4 read, 2 write, 1 execute or pass) to a file or folder?"""
        found = path.stat()
        is_in_group = found.st_gid in self.groups
        shift = 6 if found.st_uid == self.entry.pw_uid else 3 if is_in_group else 0
        return stat.S_IMODE(found.st_mode) >> shift & right == right

    def environment(self, base: Mapping[str, str]) -> dict[str, str]:
        """`base` with the user's name, home and shell, and without TMPDIR: that may be root's."""
        shell = self.entry.pw_shell if Path(self.entry.pw_shell).name not in _NO_SHELLS else "/bin/sh"
        found = {name: value for name, value in base.items() if name != "TMPDIR"}
        own = {"HOME": self.entry.pw_dir, "USER": self.name, "LOGNAME": self.name, "SHELL": shell}
        return found | own


def person(run_as: str | None) -> Person | None:
    """The user as whom jobs run. None: the node-runner's own.

    Raises:
        InputError: there is no such user, or this process may not become it.
    """
    if run_as is None:
        return None
    try:
        entry = pwd.getpwnam(run_as)
    except KeyError:
        import difflib  # only for this message

        known = difflib.get_close_matches(run_as, [entry.pw_name for entry in pwd.getpwall()], n=1)
        hint = f"; did you mean {known[0]!r}?" if known else ""
        raise InputError(f"run_as: this computer has no user {run_as!r}{hint}") from None
    if entry.pw_uid == os.geteuid():
        return None
    if os.geteuid() != 0:
        me = pwd.getpwuid(os.geteuid()).pw_name
        raise InputError(
            f"run_as: only a node that root started can run jobs as {run_as!r}, and this one runs as {me!r}:"
            " start it as root, or remove run_as from node.yaml"
        )
    return Person(entry, os.getgrouplist(entry.pw_name, entry.pw_gid))


def warn_of_root(run_as: str | None) -> None:
    """Warn of a node that runs jobs as root, unless that was asked for."""
    if run_as is None and os.geteuid() == 0:
        log.warning("%s", AS_ROOT)


class Oneself:
    """Jobs run as the node-runner's own user."""

    owner: tuple[int, int] | None = None
    """The user and group of what jobs find in their folders. None: the node-runner's."""

    def told(self, image: Path | None) -> tuple[int, int, list[int], str, list[str]] | None:
        """The arguments of `OtherUser` for a unit with this image, for the keeper. None: the user stays."""
        return None

    def environment(self, base: Mapping[str, str]) -> dict[str, str]:
        """The variables of the node-runner as jobs get them."""
        return dict(base)


class AnotherUser(Oneself):
    """Jobs run as another user."""

    owner: tuple[int, int]

    def __init__(self, who: Person, work_dir: Path) -> None:
        """Raises InputError if this computer does not let them do that in `work_dir`."""
        self._who = who
        self.owner = who.entry.pw_uid, who.entry.pw_gid
        work_dir = work_dir.resolve()
        closed = (folder for folder in reversed(work_dir.parents) if not who.may(folder, _MAY_PASS))
        self._hides = str(next(closed, work_dir))
        self._try(work_dir)

    def told(self, image: Path | None) -> tuple[int, int, list[int], str, list[str]]:
        """As `Oneself.told`."""
        shows = [] if image is None else [str(image)]
        return *self.owner, list(self._who.groups), self._hides, shows

    def environment(self, base: Mapping[str, str]) -> dict[str, str]:
        """As `Oneself.environment`, made the user's."""
        return self._who.environment(base)

    def _try(self, work_dir: Path) -> None:
        """Have a process of the user write to a folder of its own."""
        trial = Path(tempfile.mkdtemp(prefix=TRIAL, dir=work_dir))
        user, name = OtherUser(*self.told(None)), self._who.name
        try:
            os.chown(trial, *self.owner)
            with open(os.devnull, "wb") as nowhere:  # noqa: PTH123 (a device)
                argv = ["/bin/sh", "-c", "echo written > file"]
                pid = spawn(Covered(user, str(trial), None), argv, {}, nowhere.fileno(), user=user)
            os.waitpid(pid, 0)
            if (trial / "file").stat().st_uid != user.uid:
                raise InputError(f"run_as: the disk of {work_dir} keeps no owners of files; choose another")
        except NoViewError as error:
            raise InputError(
                f"run_as: to run jobs as {name!r}, root needs the right to mount and to change users, and"
                f" lacks it here ({why(error)}). Give the container CAP_SYS_ADMIN, CAP_SETUID and CAP_SETGID,"
                f" or start the node as {name!r}"
            ) from error
        except OSError as error:
            raise InputError(f"run_as: {name!r} can't work in {work_dir}: {why(error)}") from error
        finally:
            shutil.rmtree(trial)


def job_user(run_as: str | None, work_dir: Path, *, has_gpus: bool = False) -> Oneself:
    """The user as whom jobs run that work below `work_dir`. Warns if that user may not use the GPUs.

    Raises:
        InputError: there is no such user, or jobs can't run as that.
    """
    who = person(run_as)
    if who is None:
        return Oneself()
    files = [path for pattern in _GPU_FILES if has_gpus for path in Path("/dev").glob(pattern)]
    closed = [path for path in files if path.is_char_device() and not who.may(path, _MAY_USE)]
    if closed:
        log.warning(
            "the user %r may not open %s, so jobs can't use the GPUs: add that user to the group %r",
            who.name,
            str(closed[0]),
            closed[0].group(),
        )
    return AnotherUser(who, work_dir)
