"""`admin check` through the command line: what of a cluster does not work."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from acceptance.person import Person


@pytest.fixture
def person(tmp_path: Path) -> Iterator[Person]:
    with Person(tmp_path) as person:
        yield person


def test_a_cluster_is_looked_at_with_all_channels(person: Person) -> None:
    settings, tell = person.home / "notify.yaml", person.home / "tell"
    settings.write_text(f"command: {{run: [{tell}]}}\n")
    tell.write_text("#!/bin/sh\nexec cat >/dev/null\n")
    tell.chmod(0o755)
    person.runs("up", "--nodes", "2", "--cpus", "1", "--detach", "--notify-config", str(settings))
    found = person.asks("admin", "check")["findings"]
    assert {finding["verdict"] for finding in found} == {"ok"}
    things = ["scheduler", "archiver", "notifier", "channel command", "nodes", "log"]
    assert [finding["what"] for finding in found] == things
    assert [finding["text"] for finding in found if finding["what"] == "nodes"] == ["2 nodes: 2 idle"]
    tell.chmod(0o644)
    shown = person.runs("admin", "check", code=1).stdout
    assert f"problem  channel command  {tell} is no program that this user can run\n" in shown
    person.runs("down")


def test_without_a_notifier_that_is_said_and_is_no_problem(person: Person) -> None:
    person.runs("up", "--cpus", "1", "--detach")
    shown = person.runs("admin", "check").stdout
    assert "warning  notifier   none answers: nobody gets messages about batches\n" in shown
    person.runs("down")
