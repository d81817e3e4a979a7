"""Images for tests with the real Apptainer, made without a network: busybox, and the app `distribute`."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

_NEEDED = {
    "apptainer": "sh infra/apptainer.sh installs it",
    "busybox": "apt-get install busybox-static",
    "mksquashfs": "apt-get install squashfs-tools",
    "unshare": "apt-get install util-linux",
}

_BEGIN = """\
Bootstrap: scratch

%setup
    cd "$APPTAINER_ROOTFS" && mkdir -p bin dev etc proc sys tmp root var/tmp
    cp {busybox} bin/busybox && chroot . /bin/busybox --install -s /bin
    for program in {programs}; do
        rm -f "bin/${{program##*/}}" && cp -L "$program" bin
        for library in $(ldd "$program" | grep -o '/[^ ]*'); do
            mkdir -p ".${{library%/*}}" && cp -L "$library" ".$library"
        done
    done
    echo 'root:x:0:0:root:/root:/bin/sh' > etc/passwd
    echo 'root:x:0:' > etc/group

"""


def need_apptainer() -> str:
    """The path of `apptainer`. Skips the test if something is not installed that it needs."""
    for program, remedy in _NEEDED.items():
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed: {remedy}")
    return shutil.which("apptainer") or ""


def definition(sections: str, *, programs: Sequence[str] = ()) -> str:
    """A definition file with these sections, of an image with busybox and these programs of the computer."""
    need_apptainer()
    found = [shutil.which(program) or pytest.skip(f"{program} is not installed") for program in programs]
    return _BEGIN.format(busybox=shutil.which("busybox"), programs=" ".join(found)) + sections


def busybox_image(folder: Path, script: str, *, environment: str = "", app: str = "distribute") -> Path:
    """Make an image whose app runs the lines of `script`. `environment` has lines of its %environment."""
    sections = f"%environment\n{environment}\n\n%apprun {app}\n{script}\n"
    return build_image(folder, definition(sections))


def build_image(folder: Path, text: str) -> Path:
    """Build the image of a definition file, without a network and without root."""
    path, image = folder / "image.def", folder / "image.sif"
    path.write_text(text)
    built = subprocess.run(
        ["unshare", "-r", "apptainer", "build", "-F", str(image), str(path)],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": os.environ["PATH"], "HOME": str(folder)},
    )
    assert built.returncode == 0, built.stderr
    return image
