"""The section `sweep` of a batch, and files of a sweep's jobs. `sweeping` makes the points of it."""

from __future__ import annotations

from typing import Annotated, ClassVar, Self

from pydantic import Discriminator, Field, Tag, model_validator

from distribute.config.sections.file_refs import MAX_PATTERNS, TreeKeys
from distribute.config.sections.forms import Form
from distribute.config.sections.section import Name, NonEmpty, Section, Text, at_most, once
from distribute.core.spec.specs import MAX_FILES, MAX_JOBS, MAX_VARIABLES

_MAX_VALUES = 10 * MAX_JOBS
_MAX_RULES = 1000
Texts = Annotated[tuple[Text, ...], at_most(_MAX_VALUES, "values"), once("values")]

_TwoTexts = Annotated[tuple[Text, ...], Form("two numbers")]
_TwoNumbers = Annotated[tuple[float, ...], Form("two numbers")]
_TwoIntegers = Annotated[tuple[int, ...], Form("two whole numbers")]


class Range(Section):
    """Numbers: from one to another in steps, or so many at equal distances (`linear`) or ratios (`log`)."""

    takes: ClassVar[str] = "a list, {from: 1, to: 10, step: 1}, {linear: [0, 1], count: 11} or {log: …}"

    first: Text | None = Field(default=None, alias="from", examples=["1"])
    last: Text | None = Field(default=None, alias="to", examples=["10"])
    step: Text | None = Field(default=None, examples=["0.5"])
    linear: _TwoTexts | None = Field(default=None, examples=["[0, 1]"])
    log: _TwoTexts | None = Field(default=None, examples=["[1e-5, 1e-2]"])
    count: int | None = Field(default=None, ge=1, examples=["11"])

    @model_validator(mode="after")
    def _is_one_form(self) -> Range:
        given = {key for key in self.known_keys() if getattr(self, _ATTRIBUTES.get(key, key)) is not None}
        if given not in ({"from", "to"}, {"from", "to", "step"}, {"linear", "count"}, {"log", "count"}):
            raise ValueError(
                f"{', '.join(sorted(given)) or 'nothing'} is no range; write {{from: 1, to: 10, step: 1}}, "
                "{linear: [0, 1], count: 11} or {log: [1e-5, 1e-2], count: 4}"
            )
        for ends in (self.linear, self.log):
            if ends is not None and len(ends) != 2:
                raise ValueError(f"a range has two ends, not {len(ends)}; write [0, 1]")
        return self


_ATTRIBUTES = {"from": "first", "to": "last"}


class Random(Section):
    """Random values: from a range of numbers, or of a list. Exactly one of the keys."""

    takes: ClassVar[str] = "{uniform: [0, 1]}, {log: [1e-5, 1e-2]}, {integers: [1, 6]} or {choice: [a, b]}"

    uniform: _TwoNumbers | None = Field(default=None, examples=["[0, 1]"])
    log: _TwoNumbers | None = Field(default=None, examples=["[1e-5, 1e-2]"])
    integers: _TwoIntegers | None = Field(default=None, examples=["[1, 6]"])
    choice: Texts | None = Field(default=None, examples=["[upwind, central]"])

    @model_validator(mode="after")
    def _is_one_form(self) -> Random:
        given = [key for key in self.known_keys() if getattr(self, key) is not None]
        if len(given) != 1:
            found = " and ".join(given) or "nothing"
            raise ValueError(f"a parameter is drawn in one way, not by {found}; write {self.takes}")
        ends = self.uniform or self.log or self.integers
        if self.choice is None and (ends is None or len(ends) != 2):
            raise ValueError(f"{given[0]} takes the smallest and the largest number: [0, 1]")
        return self


def _form_of_values(written: object) -> str:
    if isinstance(written, dict | Range):
        return "range"
    return "list" if isinstance(written, list | tuple) else "text"


Values = Annotated[
    Annotated[Texts, Tag("list")] | Annotated[Range, Tag("range")] | Annotated[Text, Tag("text")],
    Discriminator(_form_of_values),
]
"""The values of a parameter. One text is a single value."""

Columns = Annotated[dict[str, Values], at_most(MAX_VARIABLES, "parameters"), Form("lists of values by name")]
PartOfPoint = Annotated[dict[str, Text], at_most(MAX_VARIABLES, "parameters")]
_Points = Annotated[tuple[PartOfPoint, ...], Form("a list of points")]


Drawn = Annotated[
    dict[str, Random],
    at_most(MAX_VARIABLES, "parameters"),
    Form("[random values](#random-values) by name"),
]


class SampleSection(Section):
    """Random points. The same seed gives the same points."""

    count: int = Field(ge=1, examples=["100"])
    seed: int = Field(default=0, examples=["1"])
    values: Drawn = Field(examples=["{x: {uniform: [0, 1]}}"])


class SweepSection(Section):
    """Points of parameters. Each becomes a job, after the pattern `job` of the batch's kind.

    All that is given is combined with each other: files, lines, each parameter of `grid`, `zip`, `sample`.
    """

    name: Text | None = Field(default=None, min_length=1, examples=['"re{re}-n{n}"'])
    grid: Columns | None = Field(default=None, examples=["{re: [100, 400], n: [48, 64]}"])
    zip: Columns | None = Field(default=None, examples=["{re: [100, 400], dt: [0.1, 0.05]}"])
    sample: SampleSection | None = Field(
        default=None, examples=["{count: 100, seed: 1, values: {x: {uniform: [0, 1]}}}"]
    )
    each: Annotated[NonEmpty, Form("a pattern of paths")] | None = Field(
        default=None, examples=['"cases/*.dat"']
    )
    each_line: Annotated[NonEmpty, Form("a path")] | None = Field(
        default=None, alias="each-line", examples=["runs.csv"]
    )
    include: Annotated[_Points, at_most(MAX_JOBS, "points")] = Field(
        default=(), examples=["[{re: 1000, n: 128}]"]
    )
    exclude: Annotated[_Points, at_most(_MAX_RULES, "points")] = Field(
        default=(), examples=["[{re: 400, n: 48}]"]
    )


class PatternFile(Section):
    """A file of each job of a sweep: the one at `path`, or one that is made of the file `template`."""

    takes: ClassVar[str] = "a path, {path: PATH, alias: NAME} or {template: PATH, alias: NAME}"
    text_key: ClassVar[str] = "path"

    path: Annotated[NonEmpty, Form("a path")] | None = Field(default=None, examples=['"data/{mesh}.dat"'])
    template: Annotated[NonEmpty, Form("a path")] | None = Field(default=None, examples=["case.in.j2"])
    alias: Name | None = Field(default=None, examples=["mesh.dat"])

    @model_validator(mode="after")
    def _has_one_origin(self) -> Self:
        if (self.path is None) == (self.template is None):
            raise ValueError("a file has a path or a template; write path: PATH or template: PATH")
        return self


class PatternInput(TreeKeys, PatternFile):
    """An input of each job of a sweep: a file, a folder, a glob, a git checkout, or what a template makes."""

    takes: ClassVar[str] = f"{PatternFile.takes}, or {{git: FOLDER, ref: REF, alias: NAME}}"

    # Its placeholders are filled before it is judged.
    exclude: Annotated[tuple[NonEmpty, ...], at_most(MAX_PATTERNS, "patterns")] = Field(
        default=(), examples=['["*.o", results/]']
    )

    @model_validator(mode="after")
    def _excludes_of_a_tree(self) -> Self:
        if self.template is not None and self.exclude:
            raise ValueError("'exclude' is for folders and globs, and a template makes a file; remove it")
        return self


PatternInputs = Annotated[tuple[PatternInput, ...], at_most(MAX_FILES, "files"), once("pattern files")]
