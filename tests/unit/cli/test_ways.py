"""What an error advises is told with the options of the command line."""

from __future__ import annotations

import pytest

from distribute.core.errors import Refused
from distribute.core.ways import Way
from distribute_cli.ways import OPTIONS, told


@pytest.mark.parametrize("way", Way)
def test_every_way_has_an_option(way: Way) -> None:
    assert (
        told(Refused("it takes force to kill it").with_ways(way))
        == f"it takes force to kill it ({OPTIONS[way]})"
    )


def test_an_error_without_advice_stays_as_it_is() -> None:
    assert told(Refused("no")) == "no"
