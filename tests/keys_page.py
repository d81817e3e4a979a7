"""Make `docs/keys.md`, the page of all keys, from the models: `python -m tests.keys_page` writes it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from distribute.config.described.key_docs import KEY_DOCS, WITHOUT_PLACEHOLDERS
from distribute.config.described.schema import properties_of
from distribute.config.sections.section import Section

PAGE = Path(__file__).parents[1] / "docs" / "keys.md"

INTRODUCTION = """\
# All keys

Every key of the files that people write, with what it takes, its default and an example. The page is made
from the code, as are the [JSON Schemas for editors](jobs-file.md#in-your-editor). How the keys of a batch
work together is explained in [distribute-jobs.yaml](jobs-file.md), those of the settings in
[the workstation](workstation.md) and [the lab](lab.md).

Every value is the text that you wrote; quotes change nothing, but YAML needs them around some texts. A key
that is not required may stand there without a value: it is then treated as absent.

- **A duration**: `90s`, `45m`, `2h`, `1d`, `1h30m10s`. A plain number means seconds.
- **A time**: `2030-01-31T18:00`, local unless it names a zone (`Z`, `+01:00`); a date alone; or a duration
  from now: `2h`.
- **A size**: `10K`, `512M`, `8G`, `1.5T`. A plain number means bytes. Units are binary: 1K = 1024.
- **A name**: any name that a folder can have, without `/`.
"""

FILES: dict[str, dict[str, str]] = {
    "distribute-jobs.yaml": {
        "JobsFile": "The top level",
        "Meta": "meta",
        "Resources": "resources",
        "Gpus": "gpus, by kind",
        "SignalBefore": "signal_before",
        "AfterRef": "after",
        "FileRef": "A file",
        "TreeKeys": "An input, besides",
        "GitRef": "A git checkout",
        "PythonBatch": "python",
        "PythonInitialize": "initialize of python",
        "CommandBatch": "command",
        "CommandInitialize": "initialize of command",
        "ApptainerBatch": "apptainer",
        "ApptainerInitialize": "initialize of apptainer",
        "JobEntry": "A job",
        "PythonJob": "A job of python, besides",
        "CommandJob": "A job of command, besides",
        "FinalJob": "finally: the keys of a job, besides",
        "SweepSection": "sweep",
        "Range": "Values of a parameter, as a range",
        "SampleSection": "sample",
        "Random": "Random values",
        "JobPattern": "job, of any kind",
        "PythonPattern": "job of python, besides",
        "CommandPattern": "job of command, besides",
        "PatternFile": "A file of a job of a sweep",
        "Slurm": "slurm",
    },
    "node.yaml": {"NodeSettings": "For `distribute client`, in `~/.config/distribute`"},
    "client.yaml": {
        "ClusterSettings": "For everybody, in `~/.config/distribute`; node.yaml has these keys, too",
        "ClientSettings": "client.yaml, besides",
        "SlurmSettings": "slurm of client.yaml",
    },
    "server.yaml": {"ServerSettings": "For `distribute server`, in `~/.config/distribute`"},
    "notify.yaml": {
        "NotifySettings": "For the notifier, in `~/.config/distribute`",
        "CommandChannel": "command of notify.yaml",
        "WebhookChannel": "webhook",
        "MailChannel": "mail",
    },
}
"""The titles of the sections, by the name of the model."""

_OF_FILES = {"FileRef", "PatternFile"}
_OF_INPUTS = {"InputRef": "TreeKeys", "PatternInput": "PatternFile"}
"""Sections of inputs, and those that tell their keys."""
_LISTED = {
    **dict.fromkeys(_OF_INPUTS, "files, folders and globs"),
    **dict.fromkeys(_OF_FILES, "files"),
    "AfterRef": "batches",
}
"""What the sections of a list are, where they are not jobs."""

_SECTIONS = {section.__name__: section for section in KEY_DOCS}
_SAME = _OF_INPUTS | {pattern.__name__: section.__name__ for pattern, section in WITHOUT_PLACEHOLDERS.items()}
_TITLES = {section: title for titles in FILES.values() for section, title in titles.items()}


def page() -> str:
    """The page, in Markdown."""
    return "\n".join([INTRODUCTION, *_sections()])


def _sections() -> Iterator[str]:
    for file, sections in FILES.items():
        yield f"## {file}\n"
        for name, title in sections.items():
            section = _SECTIONS[name]
            yield f"### {title}\n" if len(sections) > 1 else f"{title}.\n"
            yield from _table(section)
            if section.model_config.get("extra") == "allow":
                yield "\nAny other option of sbatch is passed on under its name, with `_` or `-`."
            yield ""


def _table(section: type[Section]) -> Iterator[str]:
    yield "| key | takes | default | example | meaning |"
    yield "|---|---|---|---|---|"
    properties = properties_of(section)
    for key, doc in KEY_DOCS[section].items():
        value, field = properties[key], section.known_keys()[key]
        default = "required" if field.is_required() else doc.default or _shown(value.get("default"))
        example = f"`{key}: {field.examples[0]}`" if field.examples else ""
        cells = [f"`{key}`", _taken(value), default, example, f"{doc.meaning}."]
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def _shown(default: Any) -> str:
    if default is None or default == []:
        return "none"
    return f"`{default}`"


def _taken(value: dict[str, Any]) -> str:
    """What a key takes, in words."""
    if "$comment" in value:
        return str(value["$comment"])
    if "$ref" in value:
        return _reference(value["$ref"].rpartition("/")[2])
    if "anyOf" in value:
        written = (form for form in value["anyOf"] if form.get("type") != "null" and not _is_spelling(form))
        return " or ".join(_taken(form) for form in written)
    if "enum" in value:
        return ", ".join(f"`{word}`" for word in value["enum"] if word is not None)
    types = [value["type"]] if isinstance(value["type"], str) else value["type"]
    if "array" in types:
        forms = " or one text" if "string" in types else ""
        return f"a list of {_plural(value['items'])}{forms}"
    if "object" in types:
        return "texts by name"
    if "integer" in types:
        return f"a whole number{_bounds(value)}"
    return f"a number{_bounds(value)}" if types[0] == "number" else "a text"


def _is_spelling(form: dict[str, Any]) -> bool:
    """Is it the form of another spelling of a word that is listed?"""
    return form.get("type") == "string" and "enum" not in form


def _plural(item: dict[str, Any]) -> str:
    """What the items of a list are."""
    if "enum" in item:
        return _taken(item)
    if "$ref" not in item:
        thing, _, rest = _taken(item).removeprefix("a ").partition(" ")
        return " ".join(filter(None, [f"{thing}s", rest]))
    section = item["$ref"].rpartition("/")[2]
    return _link(_LISTED.get(section, "jobs"), section)


def _bounds(value: dict[str, Any]) -> str:
    least = f" from {value['minimum']}" if "minimum" in value else ""
    more = f" above {value['exclusiveMinimum']}" if "exclusiveMinimum" in value else ""
    most = f" to {value['maximum']:.0f}" if "maximum" in value else ""
    return f"{least}{more}{most}"


def _reference(section: str) -> str:
    if section == "GitRef":
        return f"a path, or {_link('{path: FOLDER, ref: REF}', section)}"
    if section in _OF_INPUTS:
        return f"a path, or {_link('{path: PATH, alias: NAME, exclude: [PATTERN]}', section)}"
    if section in _OF_FILES:
        return f"a path, or {_link('{path: PATH, alias: NAME}', section)}"
    return _link("these keys", section)


def _link(words: str, section: str) -> str:
    title = _TITLES.get(_SAME.get(section, section), _TITLES["JobEntry"])
    anchor = "".join(
        letter for letter in title.lower().replace(" ", "-") if letter.isalnum() or letter in "-_"
    )
    return f"[{words}](#{anchor})"


if __name__ == "__main__":
    PAGE.write_text(page())
