"""What tries how jobs can get copies of a build leaves nothing behind."""

from __future__ import annotations

from pathlib import Path

from distribute_services.node_runner.disk.private_copies import find_out
from distribute_services.node_runner.keeper.view import View

from .test_private_copies import ENV, start


def test_nothing_of_a_trial_stays(tmp_path: Path) -> None:
    for way in ("overlay", "bind", "copy"):
        find_out(tmp_path, way)
        assert list(tmp_path.iterdir()) == []


def test_what_a_killed_trial_left_is_removed(tmp_path: Path) -> None:
    locked = tmp_path / "trial-killed" / "scratch" / "work"
    locked.mkdir(parents=True)
    (tmp_path / "trial-new").mkdir()
    (tmp_path / "work").mkdir()
    locked.chmod(0)
    find_out(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["work"]


def test_a_view_that_cannot_be_had_is_a_reason(tmp_path: Path) -> None:
    view = View(str(tmp_path), str(tmp_path / "missing"))
    refused = start(["/bin/true"], str(tmp_path), ENV, tmp_path / "out", view)
    assert isinstance(refused, str)
    assert "no private copy of its build" in refused
