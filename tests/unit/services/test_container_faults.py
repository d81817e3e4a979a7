"""What Apptainer 1.4 prints when it can't start a container, in words that help."""

from __future__ import annotations

import pytest

from distribute.host import Exit
from distribute_services.node_runner.host.container_faults import (
    why_not,
    with_container_fault,
    without_notes,
)

CREATION = "FATAL:   container creation failed: mount hook function failure: mount"
OPENING = "FATAL:   While checking container encryption: could not open image /cache/ab:"
CASES = [
    (
        (
            f"{CREATION} /proc/self/fd/3->/session/rootfs error: while mounting image /proc/self/fd/3: "
            "kernel reported a bad superblock for squashfs image partition, possible causes are that"
        ),
        "the image can't be read",
    ),
    (f"{OPENING} image format not recognized", "the image can't be read"),
    (
        (
            "WARNING: open /proc/sys/fs/binfmt_misc/status: no such file or directory\n"
            f"{OPENING} the image's architecture (arm64) could not run on the host's (amd64)"
        ),
        "the image is for arm64 computers, and this node is amd64",
    ),
    (
        (
            f"{CREATION} /w/0->/scratch/x error: while mounting /w/0: "
            "destination /scratch/x doesn't exist in container"
        ),
        "/scratch/x can't be mounted, because the image has no such folder",
    ),
    (
        f"{CREATION} /w/0->/bin/sh error: while mounting /w/0: could not mount /w/0: not a directory",
        "/bin/sh can't be mounted, because it is no folder in the image",
    ),
    (
        (
            "INFO:    Converting SIF file to temporary sandbox...\n"
            "FATAL:   while extracting /cache/ab: root filesystem extraction failed: "
            "extract command failed: INFO   : A system administrator may need to enable user\n"
            "INFO   :   apptainer-suid, or compile with ./mconfig --with-suid\n"
            "\x1b[91mERROR  : Failed to create user namespace: maximum number of user namespaces exceeded,\n"
            "\x1b[0m: exit status 1"
        ),
        "users can make no containers on this node",
    ),
    (
        (
            "FATAL:   container creation failed: image driver mount failure: image driver "
            "squashfuse_ll instance exited with error: fuse: failed to open /dev/fuse: Permission denied"
        ),
        "/dev/fuse is closed to the user of this node",
    ),
    (
        "\x1b[31mFATAL:  \x1b[0m Couldn't determine user account information: user: unknown userid 12345",
        "the user of this node, 12345, is not in /etc/passwd",
    ),
    ("FATAL:   write /tmp/rootfs-1/x: no space left on device", "the disk of this node is full"),
    ("FATAL:   \x1b[0msomething new", "something new"),
]


@pytest.mark.parametrize(("printed", "reason"), CASES)
def test_the_reason_is_named(printed: str, reason: str) -> None:
    lines = printed.split("\n")
    assert (why_not(lines) or "").startswith(reason)
    complaint = with_container_fault(ended(255), lines).complaint or ""
    assert complaint.startswith(f"its container could not be started: {reason}")


def test_the_part_that_enters_namespaces_exits_with_1() -> None:
    line = "\x1b[91mERROR  : Failed to create user namespace: maximum number of user namespaces exceeded"
    assert "must allow user namespaces" in (with_container_fault(ended(1), [line]).complaint or "")
    line = "ERROR  : Requesting capability set 0x1ff while permitted capability set is 0xff"
    assert "root default capabilities" in (with_container_fault(ended(1), [line]).complaint or "")


@pytest.mark.parametrize("line", ["Could not locate the container application: distribute",
                                  "ERROR:   no runscript for contained app: distribute"])  # fmt: skip
def test_an_image_without_the_app_is_named(line: str) -> None:
    assert "%apprun distribute" in (with_container_fault(ended(1), ["before", line]).complaint or "")


@pytest.mark.parametrize(
    ("code", "printed"),
    [
        (255, []),
        (255, ["Permission denied (publickey)."]),
        (255, ["solver: FATAL: it diverged"]),
        (1, ["ERROR  : it diverged"]),
        (2, ["FATAL:   it diverged"]),
        (1, ["Could not locate the container application: distribute", "and more"]),
        (0, ["FATAL:   but all is well"]),
    ],
)
def test_a_job_that_fails_by_itself_is_not_taken_for_it(code: int, printed: list[str]) -> None:
    assert with_container_fault(ended(code), printed) == ended(code)


def test_apptainers_remarks_are_no_last_words_of_a_job() -> None:
    notes = (
        "INFO:    fuse2fs not found, will not be able to mount EXT3 filesystems",
        "INFO:    Cleaning up image...",
    )
    assert without_notes((notes[0], "step 7", "INFO: diverged", notes[1])) == ("step 7", "INFO: diverged")


def ended(code: int) -> Exit:
    return Exit(exit_code=code, signal=None, cpu_s=0, max_rss_bytes=0, wall_s=0, started_at=0, ended_at=0)
