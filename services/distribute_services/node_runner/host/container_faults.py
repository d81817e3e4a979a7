"""Why Apptainer could not start a container, in words for people.

Apptainer exits with 255 then, as a job itself may do, too. But it also prints a line that begins with
`FATAL:`, in words that only its authors understand. The part of it that enters the namespaces exits with 1,
and its line begins with `ERROR  :`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from distribute.host import Exit

CANNOT_START = frozenset({1, 255})
"""Apptainer's exit codes if it could not start the container."""

_FATAL = re.compile(r"^(?:\x1b\[\d*m)?FATAL:(?:\x1b\[\d*m|\s)*(?P<why>.*)")
_ERROR = re.compile(r"^(?:\x1b\[\d*m)?ERROR  : ")
_NOTE = re.compile(r"^(?:\x1b\[\d*m)?INFO:    ")
_LACKS_APP = re.compile(r"Could not locate the container application|no runscript for contained app")
_NO_APP = "its image has no app `distribute`: give it one, with `%apprun distribute` in its definition file"

_CAUSES: tuple[tuple[str, str], ...] = (
    (
        r"image's architecture \((?P<its>\w+)\) could not run on the host's \((?P<here>\w+)\)",
        "the image is for {its} computers, and this node is {here}: make an image for it",
    ),
    (
        (
            r"[Ff]ailed to create user namespace|user namespaces? (?:is |are )?(?:disabled|not allowed)"
            r"|max_user_namespaces|apparmor_restrict_unprivileged_userns"
        ),
        (
            "users can make no containers on this node: its admin must allow user namespaces (see"
            " `sysctl -a | grep userns`), or install apptainer-suid"
        ),
    ),
    (
        r"Requesting capability set",
        (
            "root of this node lacks rights that its Apptainer demands: its admin must write"
            " `root default capabilities = no` in apptainer.conf"
        ),
    ),
    (
        r"failed to open /dev/fuse|fuse: device not found",
        (
            "/dev/fuse is closed to the user of this node: its admin must open it (`chmod 666 /dev/fuse`), or"
            " remove squashfuse"
        ),
    ),
    (
        r"unknown userid (?P<uid>\d+)",
        "the user of this node, {uid}, is not in /etc/passwd: its admin must add it",
    ),
    (r"no space left on device|disk quota exceeded", "the disk of this node is full"),
    (
        r"destination (?P<path>/\S*) doesn't exist in container",
        (
            "{path} can't be mounted, because the image has no such folder, and none can be made: make it in"
            " the image (`mkdir -p {path}` under %post), or mount another path"
        ),
    ),
    (
        r"mount \S+->(?P<path>/\S*) error: .*not a directory",
        "{path} can't be mounted, because it is no folder in the image: mount another path",
    ),
    (
        (
            r"bad superblock|image format not recognized|extraction failed|unsquashfs"
            r"|could not open image|stat /bin/sh: no such file"
        ),
        (
            "the image can't be read, or lacks /bin/sh: make it again with `apptainer build`, and try it on"
            " your computer"
        ),
    ),
)
_MAX_QUOTED = 200


def why_not(printed: Sequence[str]) -> str | None:
    """Why Apptainer could not start a container, and what to do, by the last lines that it printed.

    Returns None if it did not say that it could not.
    """
    found = [match for line in printed if (match := _FATAL.match(line))]
    if not found and not any(map(_ERROR.match, printed)):
        return None
    text = "\n".join(printed)
    for pattern, cause in _CAUSES:
        if match := re.search(pattern, text):
            return cause.format(**match.groupdict())
    return found[-1]["why"].strip()[:_MAX_QUOTED] if found else None


def without_notes(printed: Sequence[str]) -> tuple[str, ...]:
    """The same lines but for Apptainer's remarks, such as that a program it could use is not installed."""
    return tuple(line for line in printed if not _NOTE.match(line))


def with_container_fault(ended: Exit, printed: Sequence[str]) -> Exit:
    """The same end of a job in a container, with the reason if the container could not be started.

    `printed` are the job's last lines.
    """
    if ended.exit_code in CANNOT_START and (cause := why_not(printed)) is not None:
        return replace(ended, complaint=f"its container could not be started: {cause}")
    if ended.exit_code == 1 and printed and _LACKS_APP.search(printed[-1]):
        return replace(ended, complaint=_NO_APP)
    return ended
