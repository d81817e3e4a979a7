"""Wrong changes of an edit are refused before anything is asked of the cluster."""

from __future__ import annotations

import pytest

import distribute
from distribute.client.editing import ChangeKeys, Changes
from distribute.user.changes import checked_changes


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"memory": "8G"}, "edit(): nothing is called 'memory'; did you mean 'memory_bytes'?"),
        ({"zz": 1}, "edit(): nothing is called 'zz'; there are cpus, memory_bytes, "),
        ({"cpus": 0}, "edit(): cpus takes a whole number from 1 to 65536, not 0"),
        ({"cpus": "4"}, "edit(): cpus takes a whole number from 1 to 65536, not '4'"),
        ({"gpus": True}, "edit(): gpus takes a whole number from 0 to 1024, not True"),
        ({"retries": 1.5}, "edit(): retries takes a whole number from 0 to 100, not 1.5"),
        ({"timeout_s": -1}, "edit(): timeout_s takes a number from 0 to 10000000000, not -1"),
        ({"timeout_s": float("nan")}, "edit(): timeout_s takes a number from 0 to 10000000000, not nan"),
        ({"cpus": 0, "gpus": -1}, "not 0\nedit(): gpus takes"),
    ],
)
def test_a_wrong_change_is_refused(given: dict[str, object], problem: str) -> None:
    with pytest.raises(distribute.InvalidArgument) as refused:
        distribute.Batch("lab/any").edit(**given)  # type: ignore[arg-type] # as a program without types
    assert problem in str(refused.value)


@pytest.mark.parametrize("name", Changes._fields)
def test_every_change_is_a_keyword_with_a_range(name: str) -> None:
    assert name in ChangeKeys.__optional_keys__
    with pytest.raises(distribute.InvalidArgument, match=rf"{name} takes a .*number from \d+ to \d+, not -1"):
        checked_changes({name: -1})


def test_a_job_of_an_edit_has_a_name() -> None:
    with pytest.raises(distribute.InvalidArgument, match=r"edit\(\): 3 is no job's name"):
        distribute.Batch("lab/any").edit(3, cpus=1)  # type: ignore[arg-type] # as a program without types


def test_right_changes_are_taken() -> None:
    assert checked_changes({"cpus": 8, "timeout_s": 0.5}) == Changes(cpus=8, timeout_s=0.5)
    assert checked_changes({"max_running": 0, "gpus": None}) == Changes(max_running=0)
