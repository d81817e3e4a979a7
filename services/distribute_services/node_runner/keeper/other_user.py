"""Let a unit run as another user than the keeper, who is root, and see nothing else of the working folder.

The working folder stays closed to that user: it holds what other people's jobs use. So a unit gets a mount
namespace of its own, in which an empty folder covers the working folder, or the first folder on the way to it
that the user may not pass. In that, only what the unit needs is shown.

Only the standard library is used here, as the process that starts jobs must stay small.
"""

from __future__ import annotations

import os

from distribute_services.node_runner.keeper.view import MS_BIND, enter_namespace, mount

TYPE_CHECKING = False
if TYPE_CHECKING:
    import ctypes
    from collections.abc import Sequence

    from distribute_services.node_runner.keeper.view import View

_COVER = "mode=0755,size=1m,nr_inodes=1k"


class OtherUser:
    """A user, the groups that they are in, the folder `hides` that is covered, and files to show in it."""

    __slots__ = ("gid", "groups", "hides", "shows", "uid")

    def __init__(
        self, uid: int, gid: int, groups: Sequence[int], hides: str, shows: Sequence[str] = ()
    ) -> None:
        self.uid = uid
        self.gid = gid
        self.groups = groups
        self.hides = hides
        self.shows = shows

    def become(self) -> None:
        """Give this process, which belongs to root, to the user for ever."""
        os.setgroups(list(self.groups))
        os.setresgid(self.gid, self.gid, self.gid)
        os.setresuid(self.uid, self.uid, self.uid)


class Covered:
    """What a unit of another user sees: its folder `at`, by a view or as it is, and what it is shown."""

    __slots__ = ("_user", "_view", "at")

    def __init__(self, user: OtherUser, folder: str, view: View | None) -> None:
        self._user = user
        self._view = view
        self.at = folder if view is None else view.at

    def enter(self, libc: ctypes.CDLL) -> None:
        """Give this process, which has one thread, a mount namespace like that. Go to its folder.

        Raises:
            OSError: the kernel refused it.
        """
        if self._view is None:
            enter_namespace(libc)
        else:
            self._view.enter(libc)
        # Real paths, because a link to what is covered leads nowhere.
        paths = [os.path.realpath(path) for path in (self.at, *self._user.shows)]
        shown = [(path, os.open(path, os.O_PATH)) for path in paths]
        mount(libc, "tmpfs", self._user.hides, "tmpfs", 0, _COVER)
        for path, found in shown:
            if os.path.isdir(f"/proc/self/fd/{found}"):  # noqa: PTH112 (no pathlib here)
                os.makedirs(path, 0o755, exist_ok=True)  # noqa: PTH103
            else:
                os.makedirs(os.path.dirname(path), 0o755, exist_ok=True)  # noqa: PTH103, PTH120
                os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o644))
            mount(libc, f"/proc/self/fd/{found}", path, None, MS_BIND)
            os.close(found)
        os.chdir(self.at)
