"""The JSON Schemas of the settings agree with the loader, and every key of a file is explained."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest

from distribute.config.described.key_docs import KEY_DOCS
from distribute.config.described.schema import Described, schema_of
from distribute.config.sections.jobs_file import JobsFile
from distribute.config.sections.section import Section
from distribute.config.sections.slurm_section import Slurm
from distribute.config.settings.settings import load_client_settings, load_node_settings, load_server_settings
from distribute.core.errors import InputError
from editor_kit import marked, validator

LOADERS = {"node": load_node_settings, "client": load_client_settings, "server": load_server_settings}
KINDS: tuple[Described, ...] = get_args(Described)


@pytest.mark.parametrize("kind", KINDS)
def test_every_example_and_default_of_a_key_is_valid(kind: Described) -> None:
    schema = schema_of(kind)
    for section in (schema, *schema.get("$defs", {}).values()):
        for key, value in section["properties"].items():
            of_key = validator(kind).evolve(schema=value | {"$defs": schema.get("$defs", {})})
            for shown in [*value.get("examples", ()), *([value["default"]] if "default" in value else [])]:
                assert [error.message for error in of_key.iter_errors(shown)] == [], key


@pytest.mark.parametrize("section", KEY_DOCS, ids=lambda section: section.__name__)
def test_every_key_is_explained_and_has_an_example(section: type[Section]) -> None:
    above = {key for model in section.__mro__[1:] for key in KEY_DOCS.get(model, ())}
    assert set(KEY_DOCS[section]) == set(section.known_keys()) - above
    for key, doc in KEY_DOCS[section].items():
        assert doc.meaning[0].isupper() or doc.meaning[0] == "`"
        assert not doc.meaning.endswith("."), "the schema and the page set it"
        assert section.known_keys()[key].examples or has_no_value_of_its_own(section, key), key


def has_no_value_of_its_own(section: type[Section], key: str) -> bool:
    """Is the value a mapping whose keys have examples?"""
    return section in {JobsFile, Slurm} or key == "slurm"


@pytest.mark.parametrize("kind", KINDS)
def test_every_section_of_a_schema_has_its_words(kind: Described) -> None:
    schema = schema_of(kind)
    for section in (schema, *schema.get("$defs", {}).values()):
        assert [key for key, value in section["properties"].items() if "description" not in value] == []


LOOSER: list[tuple[Described, str]] = [
    ("node", "lend: sometimes"),
    ("node", "grace: 1d"),
    ("server", "inputs_keep: 1h"),
]
"""What only the loader finds."""
VALID: list[tuple[Described, str]] = [
    ("node", ""),
    ("node", "name: 7\ncapabilities: [python3, 3.12]\ncpus: 4\nmemory: 16G\ngpus: 0\ncount: threads"),
    ("node", "work_dir: /scratch\ngrace: 0\nnice: 19\nmax_processes: 16\nionice: none\ncreds: a.creds"),
    ("node", "pause_when_active: 15m\nlend: 18:00-08:00, sat\nload_limit: 0.5\nvacate_after: 1h"),
    ("node", "max_cache: 0\nkeep_free: 5G\nbuild_copies: copy\nmax_pause: 4h\nmax_unseen: 60"),
    ("node", "run_as: nobody\nenv: {A: 1}\npath: [/opt/bin]\nserver: nats://head:4222\nload_limit: '1e1'"),
    ("node", "name:\ncpus:\ncount:\nionice:\nbuild_copies:\nlend:\nenv:\npath:\nmax_cache:\ngrace:"),
    ("client", "server: nats://head:4222\ncreds: ~/jane.creds"),
    ("client", "server:\ncreds:"),
    ("server", "out_of_touch: 15s\nlost_after: 1m\npatience_growth: 0.1\nlongest_patience: 30m"),
    ("server", "inputs_keep: 7d"),
    ("server", "out_of_touch: 15\npatience_growth: 0\nlost_after:"),
]
WRONG: list[tuple[Described, str]] = [
    ("node", "- name"),
    ("node", "name: a/b"),
    ("node", f"name: {'x' * 129}"),
    ("node", "nmae: a"),
    ("node", "cpus: 0"),
    ("node", "cpus: all"),
    ("node", "memory: lots"),
    ("node", "gpus: -1"),
    ("node", "count: sockets"),
    ("node", "count: true"),
    ("node", "grace: 11m 5"),
    ("node", "nice: 20"),
    ("node", "nice: -1"),
    ("node", "max_processes: 15"),
    ("node", "ionice: high"),
    ("node", "load_limit: 0"),
    ("node", "load_limit: low"),
    ("node", "build_copies: hard"),
    ("node", "env: {DISTRIBUTE_X: 1}"),
    ("node", "path: /opt/bin"),
    ("node", "path: [opt/bin]"),
    ("node", "path: ['/opt:/bin']"),
    ("node", "path: ['']"),
    ("node", "max_pause: 0"),
    ("node", "run_as: ''"),
    ("client", "server: []"),
    ("client", "server: ''"),
    ("client", "name: a"),
    ("client", "creds: {path: a}"),
    ("server", "out_of_touch: soon"),
    ("server", "patience_growth: 2"),
    ("server", "patience: 1m"),
]


def refused(kind: Described, text: str) -> tuple[str, ...]:
    path = Path("settings.yaml")
    path.write_text(text)
    try:
        LOADERS[kind](path)
    except InputError as error:
        return error.problems
    return ()


@pytest.mark.parametrize(("kind", "text"), VALID)
def test_right_settings_are_valid(
    kind: Described, text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert (refused(kind, text), marked(text or "{}", kind)) == ((), [])


@pytest.mark.parametrize(("kind", "text"), WRONG)
def test_wrong_settings_are_found_by_both(
    kind: Described, text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert refused(kind, text)
    assert marked(text, kind)


@pytest.mark.parametrize(("kind", "text"), LOOSER)
def test_what_a_schema_of_settings_can_not_say_is_left_to_the_loader(
    kind: Described, text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert refused(kind, text)
    assert marked(text, kind) == []
