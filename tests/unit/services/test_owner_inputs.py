"""Keyboards, mice and touchpads, and their counters, as Linux shows them in /proc and /sys."""

from __future__ import annotations

from pathlib import Path

import pytest

from distribute_services.node_runner.owner import inputs

USB = "devices/pci0000:00/0000:00:14.0/usb1/1-4"
HEADSET = "devices/pci0000:00/0000:00:14.0/usb1/1-5"
TOUCHPAD = "devices/pci0000:00/0000:00:15.0/i2c_designware.0/i2c-1/i2c-ELAN0501:00"

BLOCKS = {
    "ps2": """I: Bus=0011 Vendor=0001 Product=0001 Version=ab41
N: Name="AT Translated Set 2 keyboard"
P: Phys=isa0060/serio0/input0
S: Sysfs=/devices/platform/i8042/serio0/input/input3
U: Uniq=
H: Handlers=sysrq kbd leds event3\x20
B: PROP=0
B: EV=120013
B: KEY=402000000 3803078f800d001 feffffdfffefffff fffffffffffffffe
""",
    "usb": f"""I: Bus=0003 Vendor=046d Product=c077 Version=0111
N: Name="Logitech USB Optical Mouse"
S: Sysfs=/{USB}/1-4:1.0/0003:046D:C077.0001/input/input5
H: Handlers=mouse0 event4\x20
B: PROP=0
B: EV=17
""",
    "touchpad": f"""N: Name="ELAN0501:00 04F3:3060 Touchpad"
S: Sysfs=/{TOUCHPAD}/0018:04F3:3060.0002/input/input12
H: Handlers=event7\x20
B: PROP=5
B: EV=1b
""",
    "bluetooth": """I: Bus=0005 Vendor=046d Product=b342 Version=0111
N: Name="Keyboard K380"
S: Sysfs=/devices/virtual/misc/uhid/0005:046D:B342.0003/input/input30
H: Handlers=sysrq kbd leds event12\x20
B: EV=12001f
""",
    "power button": """N: Name="Power Button"
S: Sysfs=/devices/LNXSYSTM:00/LNXPWRBN:00/input/input2
H: Handlers=kbd event2\x20
B: PROP=0
B: EV=3
""",
    "headset": f"""N: Name="Headset Consumer Control"
S: Sysfs=/{HEADSET}/1-5:1.3/0003:0D8C:0014.0004/input/input14
H: Handlers=kbd event9\x20
B: EV=13
""",
    "headset with keys": f"""N: Name="Headset"
S: Sysfs=/{HEADSET}/1-5:1.3/0003:0D8C:0014.0004/input/input15
H: Handlers=kbd event10\x20
B: EV=120013
""",
    "made by a program": """N: Name="py-evdev-uinput"
S: Sysfs=/devices/virtual/input/input40
H: Handlers=sysrq kbd event20\x20
B: EV=120013
""",
    "joystick": """N: Name="Gamepad"
S: Sysfs=/devices/pci0000:00/usb1/1-9/1-9:1.0/0003:045E:028E.0009/input/input21
H: Handlers=event21 js0\x20
B: PROP=0
B: EV=20000b
""",
}


class Machine:
    """A folder that looks like the /proc and /sys of a computer."""

    def __init__(self, root: Path) -> None:
        self.proc, self.sys = root / "proc", root / "sys"
        for usb, classes in ((USB, ["03", "03"]), (HEADSET, ["01", "01", "03"])):
            self.write(f"{usb}/urbnum", "100\n")
            for number, of_interface in enumerate(classes):
                self.write(f"{usb}/{Path(usb).name}:1.{number}/bInterfaceClass", f"{of_interface}\n")
        for irq, action, counts in (
            (1, "i8042", "10,20"),
            (9, "acpi", "5,0"),
            (12, "i8042", "0,3"),
            (16, "i801_smbus,ELAN0501:00", "4,4"),
        ):
            self.write(f"kernel/irq/{irq}/actions", f"{action}\n")
            self.write(f"kernel/irq/{irq}/per_cpu_count", f"{counts}\n")

    def write(self, path: str, text: str) -> None:
        (self.sys / path).parent.mkdir(parents=True, exist_ok=True)
        (self.sys / path).write_text(text)

    def has(self, *devices: str) -> None:
        path = self.proc / "bus/input/devices"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(BLOCKS[device] for device in devices))

    def read(self) -> tuple[dict[str, int], list[str]]:
        counters, unseen = inputs.read(inputs.devices(self.proc, self.sys))
        return {str(Path(path).relative_to(self.sys)): count for path, count in counters.items()}, unseen


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_a_ps2_keyboard_is_counted_by_its_interrupts(machine: Machine) -> None:
    machine.has("ps2")
    assert machine.read() == ({"kernel/irq/1/per_cpu_count": 30, "kernel/irq/12/per_cpu_count": 3}, [])


def test_a_usb_mouse_is_counted_by_its_transfers(machine: Machine) -> None:
    machine.has("usb")
    assert machine.read() == ({f"{USB}/urbnum": 100}, [])
    machine.write(f"{USB}/urbnum", "101\n")
    assert machine.read() == ({f"{USB}/urbnum": 101}, [])


def test_a_touchpad_is_counted_by_the_interrupt_with_its_name(machine: Machine) -> None:
    machine.has("touchpad")
    assert machine.read() == ({"kernel/irq/16/per_cpu_count": 8}, [])


def test_a_bluetooth_keyboard_has_no_counter_and_is_named(machine: Machine) -> None:
    machine.has("bluetooth", "usb")
    assert machine.read() == ({f"{USB}/urbnum": 100}, ["Keyboard K380"])


def test_a_keyboard_in_a_device_that_also_plays_sound_is_unseen(machine: Machine) -> None:
    machine.has("headset with keys")
    assert machine.read() == ({}, ["Headset"])


@pytest.mark.parametrize("other", ["power button", "headset", "made by a program", "joystick"])
def test_what_nobody_types_or_points_with_does_not_count(machine: Machine, other: str) -> None:
    machine.has(other)
    assert machine.read() == ({}, [])


def test_a_device_that_is_unplugged_is_left_out(machine: Machine) -> None:
    machine.has("usb")
    found = inputs.devices(machine.proc, machine.sys)
    (machine.sys / USB / "urbnum").unlink()
    assert inputs.read(found) == ({}, [])


def test_a_computer_without_input_devices_has_none(machine: Machine) -> None:
    assert machine.read() == ({}, [])
    machine.has()
    assert machine.read() == ({}, [])
