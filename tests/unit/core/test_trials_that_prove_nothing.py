"""A trial that can prove nothing holds nobody back, and the agenda follows every record.

Found by simulation.
"""

from __future__ import annotations

from core_kit import Lab, told
from distribute.core.log import events as ev
from distribute.core.scheduling.trials import SUSPECT_AFTER
from distribute.testing import builders as make


def suspect_with_another_node() -> Lab:
    """Enough jobs failed fast at the only node; another has come."""
    lab = Lab(make.joined("broken"), make.submitted(make.batch(8)))
    for number in range(1, SUSPECT_AFTER + 1):
        lab.happen(make.assigned(f"job{number}", "broken"))
        lab.fail_fast(f"job{number}", "broken")
    lab.happen(make.joined("other"))
    return lab


def test_nothing_is_excused_if_no_other_node_can_build_the_batch() -> None:
    lab = suspect_with_another_node()
    lab.happen(make.build_finished("other", succeeded=False))
    assert not [line for line in told(lab.decide()) if line[0] == "excused"]


def test_the_suspect_runs_its_probes_itself_once_no_other_node_can() -> None:
    lab = suspect_with_another_node()
    lab.happen(*lab.decide())
    assert lab.batch().inexcusable, "there are probes"
    lab.happen(make.left("other"))
    given = lab.assign()
    assert set(given.values()) == {"broken"}


def test_a_node_that_is_cleared_by_results_elsewhere_is_no_suspect() -> None:
    """`Lab` compares the agenda's indexes with fresh ones after every event."""
    lab = Lab(make.joined("broken"), make.submitted(make.batch(9, retries=1)))
    for number in range(1, 9):
        lab.happen(make.assigned(f"job{number}", "broken"))
        lab.fail_fast(f"job{number}", "broken")
    lab.happen(make.joined("other"))
    for number in (1, 2):
        lab.happen(make.assigned(f"job{number}", "other", 2))
        lab.fail_fast(f"job{number}", "other", attempt=2)
    assert "broken" in lab.agenda.suspects
    lab.happen(make.assigned("job3", "other", 2))
    lab.fail_fast("job3", "other", attempt=2)
    assert "broken" not in lab.agenda.suspects
    assert not lab.state.nodes["broken"].record.fast_failures, "its record begins anew"


def test_a_probe_runs_on_a_node_where_it_failed_before_a_person_had_it_retried() -> None:
    """That failure is forgiven: only the node that is suspected now is avoided."""
    lab = Lab(make.joined("sound"), make.joined("broken"), make.submitted(make.batch(SUSPECT_AFTER)))
    lab.happen(make.assigned("job1", "sound"))
    lab.fail_fast("job1", "sound")
    lab.happen(make.retry_requested(), make.assigned("job1", "broken", attempt=2))
    lab.fail_fast("job1", "broken", attempt=2)
    for number in range(2, SUSPECT_AFTER + 1):
        lab.happen(make.assigned(f"job{number}", "broken"))
        lab.fail_fast(f"job{number}", "broken")
    excused = lab.decide()
    assert "job1" in [event.job for event in excused if isinstance(event, ev.Excused)]
    lab.happen(*excused)
    assert lab.assign()["job1"] == "sound"
