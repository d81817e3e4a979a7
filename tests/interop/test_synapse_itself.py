"""The Synapse of the tests does what tests of messages rely on."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest

from acceptance.person import runs
from matrix_kit import INHERITED, running_synapse


def test_it_keeps_its_users_over_a_restart_and_no_process_outlives_it(tmp_path: Path) -> None:
    before = psutil.Process().children(recursive=True)
    with running_synapse(tmp_path) as synapse:
        jane, john = synapse.new_person("jane"), synapse.new_person("john")
        room = jane.make_room(john.id)
        processes = [one for one in psutil.Process().children(recursive=True) if one not in before]
    assert len(processes) > 1
    assert [one for one in processes if runs(one)] == []
    with running_synapse(tmp_path, int(synapse.url.rpartition(":")[2])):
        assert john.accept() == room


def test_its_absence_skips_a_test_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(INHERITED, "XDG_CACHE_HOME", str(tmp_path / "nothing"))
    with pytest.raises(pytest.skip.Exception, match="Synapse is not installed"), running_synapse(tmp_path):
        pass
