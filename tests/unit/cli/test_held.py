"""What people read of a batch that holds its jobs back, and of a node that takes none."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import cast

from core_kit import Lab
from distribute.client.documents import BatchDocument
from distribute.core.views.views import batch_view, node_view, nodes_view
from distribute.testing import builders as make
from distribute_cli.output import stories, tables
from distribute_cli.output.course import Progress
from distribute_cli.output.facts import told
from unit.cli.test_output import drawn


def test_a_batch_that_holds_its_jobs_back_says_why() -> None:
    lab = Lab(make.joined(), make.submitted(make.batch(2, max_running=1)))
    lab.assign()
    table = drawn(tables.batch, batch_view(lab.state, lab.batch().id))
    assert "as many of its jobs run as its max_running allows: 1" in table


def test_a_batch_that_a_person_holds_says_who() -> None:
    lab = Lab(make.joined(), make.submitted(make.batch(2)), make.held(by="bob", reason="a new mesh"))
    table = "\n".join(drawn(tables.batch, batch_view(lab.state, lab.batch().id)))
    assert "queued, held" in table
    since = datetime(2026, 1, 1, 0, 0, 3, tzinfo=UTC).astimezone()
    assert f"held by bob since {since:%Y-%m-%d %H:%M:%S}: a new mesh" in table


def test_what_a_person_wrote_like_a_time_is_told_as_it_is() -> None:
    assert told("held by bob: 2026-99-01T00:00:00.000Z") == "held by bob: 2026-99-01T00:00:00.000Z"
    assert told("held by bob: before 0001-01-01T00:00:00.000Z").startswith("held by bob: before ")


def test_a_drained_node_says_by_whom_and_until_when() -> None:
    lab = Lab(
        make.joined("ws1"),
        make.joined("ws2"),
        make.drain_requested("ws1", reason="new disk"),
        make.drain_requested("ws2", reason="", until=datetime.now(UTC) + timedelta(days=900)),
    )
    table = "\n".join(drawn(tables.nodes, nodes_view(lab.agenda, {})))
    assert "by jane: new disk" in table
    assert "more, by jane" in table
    story = node_view(lab.agenda, "ws1", None)
    assert "`distribute undrain` (drained, by jane)" in "\n".join(drawn(stories.node, story))


def test_who_edited_a_batch_and_who_moves_a_job_is_said() -> None:
    lab = Lab(make.joined(), make.submitted(make.batch(2, resources=None)))
    lab.assign()
    lab.happen(make.edited(by="bob", timeout_s=60.0), make.move_requested(by="ann"))
    table = "\n".join(drawn(tables.batch, batch_view(lab.state, lab.batch().id)))
    assert "edited by bob, " in table
    assert "being moved by ann" in table


class NotedBar:
    """Keeps the last note."""

    note = ""

    def update(self, done: float, total: float, note: str = "", age_s: float = 0.0) -> None:
        self.note = note


def test_who_watches_a_held_batch_is_told_who_holds_it() -> None:
    lab = Lab(make.joined(), make.submitted(make.batch(2)), make.held(by="bob"))
    bar = NotedBar()
    Progress(bar).show(cast("BatchDocument", batch_view(lab.state, lab.batch().id)))
    assert bar.note == "2 queued, held by bob"
