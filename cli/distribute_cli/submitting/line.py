"""What a person typed behind `submit`, as the values of a jobs file. `distribute.config` judges them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from distribute.client.words import printable
from distribute.config.option_values import OptionValues
from distribute.config.sections.file_refs import own_name
from distribute.config.yaml.yaml_source import Loc, Value
from distribute.core.errors import InputError
from distribute.core.words import LONGEST_QUOTED_PATH, quoted
from distribute_cli.submitting.sources import Source, find_source, has_placeholder, unescaped
from distribute_cli.submitting.words import Words, in_job, read_words

COMMAND = "the command"
_NEEDS: Mapping[tuple[str, ...], str] = {
    ("timeout",): "--timeout",
    ("retries",): "--retries",
    ("resources", "cpus"): "--cpus",
    ("resources", "memory"): "--memory",
    ("resources", "gpus"): "--gpus",
}
_OPTIONS: Mapping[tuple[str, ...], str] = {
    ("meta", "namespace"): "--namespace",
    ("meta", "batch_name"): "--name",
    ("meta", "capabilities"): "--capability",
    ("meta", "priority"): "--priority",
    ("meta", "matrix"): "--matrix",
    **{
        (*owner, *keys): option
        for owner in (("meta",), ("command", "job"))
        for keys, option in _NEEDS.items()
    },
    ("meta", "after"): "--after",
    ("meta", "not_before"): "--not-before",
    ("meta", "max_failures"): "--max-failures",
    ("sweep", "each"): "--each",
    ("sweep", "each-line"): "--each-line",
    ("sweep", "grid"): "--array",
    ("command", "initialize", "build"): "--build",
    ("command", "env"): "--env",
    ("command", "job", "env"): "--env",
    ("command", "job", "command"): COMMAND,
    ("command", "jobs", "command"): COMMAND,
}


@dataclass(frozen=True, slots=True)
class Line:
    """What a person typed. None: not given. Numbers and durations are texts, as in a file."""

    command: Sequence[str]
    namespace: str
    name: str | None = None
    array: str | None = None
    each: str | None = None
    each_line: str | None = None
    files: Sequence[str] = ()
    env: Sequence[str] = ()
    capabilities: Sequence[str] = ()
    priority: str | None = None
    matrix: str | None = None
    timeout: str | None = None
    retries: str | None = None
    cpus: str | None = None
    memory: str | None = None
    gpus: str | None = None
    build: str | None = None
    after: Sequence[str] = ()
    not_before: str | None = None
    max_failures: str | None = None


@dataclass(frozen=True, slots=True)
class Described:
    """The batch that a line describes.

    `problems` are what is wrong with the line as a whole: each value of it is judged as that of a file.
    `sent` are the words of the command that are sent, with the paths where the job finds them.
    """

    values: OptionValues
    problems: tuple[str, ...]
    warnings: tuple[str, ...]
    sent: Mapping[str, str]


def describe(line: Line) -> Described:
    """The values of the jobs file that the line means."""
    words = read_words(line.command, is_built=line.build is not None)
    problems = list(words.problems())
    source = None
    try:
        source = find_source(line.array, line.each, line.each_line)
        reader = _Reader(line, source, words, problems)
    except InputError as error:
        problems += error.problems
        reader = _Reader(line, None, words, [])  # without values, it would miss them everywhere
    values = OptionValues(reader.value(), _option_of(source, words))
    return Described(values, tuple(dict.fromkeys(problems)), tuple(words.warnings(line.files)), words.sent)


class _Reader:
    """Reads a line. Adds to `problems` what is wrong with it as a whole."""

    def __init__(self, line: Line, source: Source | None, words: Words, problems: list[str]) -> None:
        self._line = line
        self._source = source
        self._words = words
        self._problems = problems

    def value(self) -> dict[str, Any]:
        """The value of the whole file."""
        line, source = self._line, self._source
        files = [self._text("--file", path) for path in line.files]
        env = dict(self._variables())
        needs = self._needs()
        command = self._command(files)
        sent = [*self._words.sent, *(file for file in files if not has_placeholder(file))]
        self._check_names(dict.fromkeys(sent))
        if source is None:
            of_job: dict[str, Any] = {"jobs": [{"name": self._words.name, "command": command}]}
            own_env = env
        else:
            job: dict[str, Any] = {"command": command}
            job["required_files"] = [file for file in files if has_placeholder(file)]
            job["env"] = {name: text for name, text in env.items() if has_placeholder(text)}
            job |= {key: need for key, need in needs.items() if _depends(need)}
            needs = {key: need for key, need in needs.items() if key not in job}
            own_env = {name: text for name, text in env.items() if name not in job["env"]}
            of_job = {"job": job}
            self._check_values_are_used(command, job)
        before = _given(build=line.build, required_files=list(dict.fromkeys(sent)))
        batch = {"initialize": before, "env": own_env, **of_job}
        whole = {"meta": self._meta() | needs, "command": batch}
        return whole if source is None else {**whole, "sweep": source.sweep}

    def _meta(self) -> dict[str, Any]:
        line = self._line
        listed = [label.strip() for text in line.capabilities for label in text.split(",")]
        return _given(
            namespace=line.namespace,
            batch_name=self._words.name if line.name is None else line.name,
            capabilities=listed or None,
            priority=line.priority,
            matrix=line.matrix,
            after=list(line.after) or None,
            not_before=line.not_before,
            max_failures=line.max_failures,
            max_running=self._source.at_once if self._source is not None else None,
        )

    def _needs(self) -> dict[str, Any]:
        """What each job needs. Placeholders are in full."""

        def full(option: str, text: str | None) -> str | None:
            return None if text is None else self._text(option, text)

        line = self._line
        resources = _given(
            cpus=full("--cpus", line.cpus),
            memory=full("--memory", line.memory),
            gpus=full("--gpus", line.gpus),
        )
        return _given(
            resources=resources or None,
            timeout=full("--timeout", line.timeout),
            retries=full("--retries", line.retries),
        )

    def _text(self, option: str, text: str) -> str:
        """A text with its placeholders in full, or without any if there are no values."""
        try:
            return unescaped(text) if self._source is None else self._source.in_full(text)
        except InputError as error:
            self._problems += [f"{option}: {problem}" for problem in error.problems]
            return text

    def _variables(self) -> Iterator[tuple[str, str]]:
        for text in self._line.env:
            name, equals, value = text.partition("=")
            if not equals:
                self._problems.append(f"--env: {quoted(text)} gives no value; write --env NAME=VALUE")
            yield name, self._text("--env", value)

    def _command(self, files: Sequence[str]) -> str | list[str]:
        words = [self._text(COMMAND, word) for word in self._words.words]
        if self._words.is_text:
            return words[0]
        return [
            self._in_job(typed, word, files) for typed, word in zip(self._words.words, words, strict=True)
        ]

    def _in_job(self, typed: str, word: str, files: Sequence[str]) -> str:
        """A word as the job gets it: the path of a file that is sent becomes its path there."""
        if typed in self._words.sent:
            return self._words.sent[typed]
        if word not in files:
            return word
        if has_placeholder(own_name(word)) and self._source is not None and self._source.option != "--array":
            self._problems.append(
                f"--file: where the job finds {quoted(typed, LONGEST_QUOTED_PATH)} depends on the value, "
                "which may be a path itself; write input/NAME in the command, or take --each"
            )
        return in_job(word)

    def _check_names(self, sent: Mapping[str, None]) -> None:
        """Different files of one name would be one file in ./input."""
        first: dict[str, str] = {}
        for path in sent:
            other = first.setdefault(own_name(path), path)
            if own_name(other) == own_name(path) and _normal(other) != _normal(path):
                inside = quoted(f"./{in_job(path)}", LONGEST_QUOTED_PATH)
                one, two = (quoted(each, LONGEST_QUOTED_PATH) for each in (other, path))
                self._problems.append(f"both {one} and {two} would become {inside}; rename one of them")

    def _check_values_are_used(self, command: str | list[str], job: Mapping[str, Any]) -> None:
        source = self._source
        assert source is not None, "without values, none is used"
        texts = [command] if isinstance(command, str) else command
        if self._problems:
            return  # a placeholder may be wrong
        is_used = any(map(has_placeholder, texts)) or any(job[key] for key in job if key != "command")
        if not is_used:
            where = "{}" if "" in source.shorts else "{NAME}, the name of a column,"
            self._problems.append(
                f"{source.option} makes several jobs, and all would do the same: write {where} where the "
                "value belongs, in the command, in --env or in --file"
            )


def _depends(need: str | Mapping[str, str]) -> bool:
    """Does what jobs need differ from one value to the other?"""
    return any(map(has_placeholder, [need] if isinstance(need, str) else need.values()))


def _normal(path: str) -> str:
    return path.removeprefix("./")


def _given(**values: Any) -> dict[str, Any]:
    return {key: value for key, value in values.items() if value is not None}


def _option_of(source: Source | None, words: Words) -> Callable[[Loc, Value], str]:
    """A function that tells which option says a value."""

    def option(loc: Loc, value: Value) -> str:
        keys = tuple(part for part in loc if isinstance(part, str))
        if "required_files" in keys:
            return COMMAND if isinstance(value, str) and value in words.sent else "--file"
        if keys[:1] == ("sweep",) and keys[1:2] in {("name",), ()} and source is not None:
            return source.option
        if keys[:2] == ("meta", "max_running"):
            return "--array"
        for length in range(len(keys), 0, -1):
            if keys[:length] in _OPTIONS:
                return _OPTIONS[keys[:length]]
        return ""

    return option


def told(described: Described) -> str | None:
    """Which words of the command are sent, for people. None: none is."""
    sent = [f"{printable(path)} as {printable(there)}" for path, there in described.sent.items()]
    return f"sends {', '.join(sent)}" if sent else None
