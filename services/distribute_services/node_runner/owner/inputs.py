"""Read the counters of keyboards and mice. Everybody may read them, and none tells which key was pressed.

A USB device counts its transfers (`urbnum`), which for a keyboard or mouse happen only when it has something
to report. A PS/2 device, and a touchpad on an I2C bus, has an interrupt of its own.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_HID = "03"
"""The class of a USB interface for human input."""
_EV_KEY, _EV_REL, _EV_REP = 1, 2, 20
_IN_SOFTWARE = "/devices/virtual/input/"


@dataclass(frozen=True, slots=True)
class Device:
    """A keyboard, mouse or touchpad, and the files whose numbers grow when it is used; none: it is unseen."""

    name: str
    counters: tuple[Path, ...]


def devices(proc: Path = Path("/proc"), sys: Path = Path("/sys")) -> list[Device]:
    """The keyboards, mice and touchpads of this computer, without those that programs pretend to be."""
    try:
        text = (proc / "bus/input/devices").read_text(errors="replace")
    except OSError:
        return []  # a container or a small virtual machine may have no input devices
    irqs = _irqs(sys)
    return [
        Device(_line(block, 'N: Name="(.*)"'), tuple(_counters(sys, _line(block, "S: Sysfs=(.*)"), irqs)))
        for block in text.split("\n\n")
        if _is_for_people(block)
    ]


def read(found: list[Device]) -> tuple[dict[str, int], list[str]]:
    """The counters by file, and the names of devices without any."""
    counters: dict[str, int] = {}
    for device in found:
        for path in device.counters:
            with contextlib.suppress(OSError, ValueError):  # it was unplugged
                counters[str(path)] = sum(int(number) for number in path.read_text().split(","))
    return counters, [device.name for device in found if not device.counters]


def _line(block: str, pattern: str) -> str:
    match = re.search(f"^{pattern}$", block, re.MULTILINE)
    return match[1].strip() if match else ""


def _is_for_people(block: str) -> bool:
    """Not a power button, a sound jack or a hotkey: these have no repeating keys and don't move anything."""
    if _line(block, "S: Sysfs=(.*)").startswith(_IN_SOFTWARE):
        return False
    handlers = _line(block, "H: Handlers=(.*)").split()
    kinds = int(_line(block, "B: EV=(.*)") or "0", 16)
    is_keyboard = "kbd" in handlers and bool(kinds >> _EV_REP & 1)
    moves = bool(kinds >> _EV_REL & 1) or int(_line(block, "B: PROP=(.*)") or "0", 16) != 0
    is_pointer = any(handler.startswith("mouse") for handler in handlers) or (
        moves and bool(kinds >> _EV_KEY & 1)
    )
    return is_keyboard or is_pointer


def _irqs(sys: Path) -> dict[str, list[Path]]:
    """The counters of interrupts, by the names of the drivers and devices that they are for."""
    found: dict[str, list[Path]] = {}
    for folder in (sys / "kernel/irq").glob("*"):
        with contextlib.suppress(OSError):  # it was freed meanwhile
            for action in (folder / "actions").read_text().strip().split(","):
                found.setdefault(action, []).append(folder / "per_cpu_count")
    return found


def _counters(sys: Path, sysfs: str, irqs: dict[str, list[Path]]) -> Iterator[Path]:
    path = sys / sysfs.lstrip("/")
    for folder in (path, *path.parents):
        if folder == sys:
            return
        if folder.name == "i8042":
            yield from irqs.get("i8042", ())
            return
        if folder.name.startswith("i2c-") and (named := irqs.get(folder.name.removeprefix("i2c-"))):
            yield from named
            return
        if (folder / "urbnum").exists():
            if _is_only_for_input(folder):
                yield folder / "urbnum"
            return


def _is_only_for_input(usb_device: Path) -> bool:
    """A headset with buttons, for example, transfers all the time while it plays."""
    classes = [path.read_text().strip() for path in usb_device.glob("*/bInterfaceClass")]
    return bool(classes) and set(classes) == {_HID}
