"""How a signal is called that ended a process."""

from __future__ import annotations

import pytest

from distribute.core.os_words import signal_name


@pytest.mark.parametrize(("number", "name"), [(9, "SIGKILL"), (15, "SIGTERM"), (35, "signal 35")])
def test_a_signal_without_a_name_has_its_number(number: int, name: str) -> None:
    assert signal_name(number) == name
