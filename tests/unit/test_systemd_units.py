"""The units for systemd let jobs outlive a restart of the node-runner."""

from __future__ import annotations

from configparser import ConfigParser
from pathlib import Path

import pytest

from distribute.runtime import KEEP_JOBS
from distribute_services.node_runner.keeper.cgroup import SUBGROUP

UNITS = Path(__file__).parents[2] / "infra" / "systemd"


@pytest.mark.parametrize("kind", ["user", "system"])
def test_a_restart_ends_only_the_runner_and_tells_it_to_keep_its_jobs(kind: str) -> None:
    unit = ConfigParser(interpolation=None)
    unit.optionxform = str  # type: ignore[assignment, method-assign]
    unit.read_string((UNITS / kind / "distribute-node.service").read_text())
    service = unit["Service"]
    assert (service["KillMode"], service["KillSignal"]) == ("process", KEEP_JOBS.name)
    assert (service["Delegate"], service["Restart"]) == ("yes", "always")
    assert service["DelegateSubgroup"] == SUBGROUP
    assert "/bin/distribute client" in service["ExecStart"]


def test_the_page_for_the_lab_names_both() -> None:
    page = (UNITS.parents[1] / "docs" / "lab.md").read_text()
    for kind in ("user", "system"):
        assert f"infra/systemd/{kind}/distribute-node.service" in page
