"""The JSON Schema and the loader agree on the pattern of a sweep's jobs, with placeholders and without."""

from __future__ import annotations

from pathlib import Path

import pytest

from config_kit import META
from editor_kit import assert_valid, marked, refused


@pytest.fixture(autouse=True)
def _in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("case2").mkdir()
    Path("case2", "a").write_text("a")


OF_PATTERNS = [
    'resources: {cpus: "{n}", memory: "{n}G", gpus: "{n}"}',
    "resources: {cpus: '2', memory: 8G, gpus: 1}",
    'resources: {gpus: {count: "{n}", memory: "{n}G", model: "A{n}"}}',
    'timeout: "{n}h", grace: "{n}s", retries: "{n}", signal_before: {signal: usr1, seconds: "{n}"}',
    "timeout: 2h, grace: 0, retries: '1', signal_before: {signal: USR1, seconds: 90}",
    "timeout: , resources: , retries: ",
    'required_files: ["case{n}", {path: "case{n}/*", exclude: [b]}]',
    'slurm: {nodes: "{n}", ntasks: 2, cpus_per_task: "3", time: "0{n}:00:00", qos: "q{n}"}',
]


@pytest.mark.parametrize("keys", OF_PATTERNS)
def test_every_form_of_a_value_of_a_pattern_is_valid(keys: str) -> None:
    assert_valid(f"{META}sweep: {{grid: {{n: [2]}}}}\ncommand: {{job: {{command: x, {keys}}}}}\n")


@pytest.mark.parametrize("keys", ["timeout: soon", "resources: {cpus: many}", "retries: [1]"])
def test_a_value_of_a_pattern_without_placeholders_is_judged_by_both(keys: str) -> None:
    text = f"{META}sweep: {{grid: {{n: [2]}}}}\ncommand: {{job: {{command: x, {keys}}}}}\n"
    assert refused(text)
    assert marked(text)
