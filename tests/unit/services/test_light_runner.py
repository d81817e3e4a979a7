"""What a node-runner at rest has in memory: nothing that only jobs need, or that only other processes do."""

from __future__ import annotations

import ast
import subprocess
import sys

# All that a runner imports until it has joined and waits for work: `__main__`, `Computer` and the cluster's
# parts import the rest of it late.
START = """
import sys
import distribute_services.__main__
import distribute_services.node_runner.host.opening, distribute_services.node_runner.service
import distribute.nats.cluster, distribute.nats.objects.store, distribute.whole_log
import distribute.nats.stream.beats, distribute.nats.stream.live, distribute.nats.stream.log
import distribute_services.node_runner.owner.sensor
"""


NOT_NEEDED = {
    "aiohttp",
    "distribute.client.pull",  # for a job that wants what others left
    "distribute.core.state.state",  # the scheduler's
    "distribute.results.outputs",
    "distribute.saved",  # for readers of compacted batches
    "distribute_services.node_runner.keeper.server",
    "jeepney",  # for logind, where there is a bus of the system
    "jinja2",
    "nats.js.api",
    "pathspec",
    "psutil",
    "re2",
    "rich",
    "sqlite3",
    "typer",
    "yaml",
}


def printed(code: str) -> list[set[str]]:
    """The lists that a Python prints that has imported all of `START`, and then runs `code`."""
    ended = subprocess.run([sys.executable, "-c", START + code], capture_output=True, text=True, check=True)
    return [set(ast.literal_eval(line)) for line in ended.stdout.splitlines()]


def test_a_runner_at_rest_has_neither_imported_what_others_need_nor_made_validators_of_events() -> None:
    code = """
from distribute.core.log.events import KINDS
print(sorted(sys.modules.keys() - {"__main__"}))
print([kind.__name__ for kind in KINDS if kind.__pydantic_complete__])
"""
    imported, made = printed(code)
    assert imported & NOT_NEEDED == set()
    assert made == set()


def test_reading_an_event_makes_no_validators_of_other_types() -> None:
    code = """
from distribute.codec import decode
from distribute.core.log.events import KINDS
event = decode(b'{"id":"01ARZ3NDEKTSV4RRFFQ69G5FAV","time":"2026-03-14T15:09:26Z","author":"me","node":"ws1",'
               b'"type":"undrained","v":1}')
assert event.type == "undrained", event
print([kind.__name__ for kind in KINDS if kind.__pydantic_complete__])
"""
    assert printed(code) == [{"Undrained"}]
