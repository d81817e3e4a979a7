"""The pattern of a sweep's jobs: its texts with placeholders, ready to be filled for each point."""

from __future__ import annotations

import re
from typing import NamedTuple

from distribute.config.file_refs import own_name
from distribute.config.jobs_file import CommandPattern, JobPattern, PythonPattern
from distribute.config.sweep_section import PatternFile
from distribute.config.sweep_sources import PATH
from distribute.config.yaml_source import Document, Loc
from distribute.config.yaml_syntax import Found, Problem
from distribute.sweeps import Point, SweepError, TextTemplate

Texts = TextTemplate | tuple[TextTemplate, ...] | None
_ENDING = re.compile(r"(?<=.)\.(?:j2|jinja2?)$")
"""How the name of a template ends, which the file that is made of it has not."""

Filled = str | tuple[str, ...] | None


class PatternOfFile(NamedTuple):
    """A file of each job. `path` None: the file of its point. `alias` None: the file's own name.

    `is_made`: the file is made of the template file at `path`.
    """

    loc: Loc
    path: TextTemplate | None
    alias: TextTemplate | None
    is_made: bool = False

    @property
    def is_constant(self) -> bool:
        """Do all jobs have the same file, under the same name?"""
        constant_alias = self.alias is None or self.alias.is_constant
        return self.path is not None and self.path.is_constant and constant_alias and not self.is_made

    def fill(self, point: Point) -> tuple[str, str]:
        """The path and the name of the file of a point."""
        path = str(point[PATH]) if self.path is None else self.path.fill(point)
        if self.alias is not None:
            return path, self.alias.fill(point)
        name = own_name(path)
        return path, _ENDING.sub("", name) if self.is_made else name


class Pattern:
    """The texts of a pattern. `found` has what is wrong with them.

    `known` are the names of the placeholders. `place` is where the pattern stands in the document.
    """

    def __init__(self, document: Document, place: Loc, pattern: JobPattern, known: tuple[str, ...]) -> None:
        self.found = Found()
        self._document = document
        self._place = place
        self._known = known
        self._templates: list[tuple[Loc, TextTemplate]] = []
        self.env = {name: self.template(text, (*place, "env", name)) for name, text in pattern.env.items()}
        self.files = [
            self._file(file, "required_files", index) for index, file in enumerate(pattern.required_files)
        ]
        self.script: PatternOfFile | None = None
        self.words: Texts = None
        """The command, or the arguments of a script."""
        if isinstance(pattern, PythonPattern):
            self.script = self._file(pattern.file, "file")
            self.words = self._texts(pattern.args, "args")
        elif isinstance(pattern, CommandPattern):
            self.words = self._texts(pattern.command, "command")

    def template(self, text: str, loc: Loc, *, for_shell: bool = False) -> TextTemplate:
        """A text with placeholders, which stands at `loc`."""
        try:
            made = TextTemplate(text, self._known, for_shell=for_shell)
        except SweepError as error:
            self.found.add(Problem, self._document.offset(loc), f"{_key_of(loc)}: {error}")
            return TextTemplate("", ())
        self._templates.append((loc, made))
        return made

    def culprit(self, point: Point) -> Loc:
        """Where the text stands that can't be filled with this point."""
        for loc, template in self._templates:
            try:
                template.fill(point)
            except SweepError:
                return loc
        return self._place

    def fill_words(self, point: Point) -> Filled:
        """The command, or the arguments of a script."""
        if isinstance(self.words, tuple):
            return tuple([template.fill(point) for template in self.words])
        return None if self.words is None else self.words.fill(point)

    def fill_env(self, point: Point) -> dict[str, str]:
        """The variables."""
        return {name: template.fill(point) for name, template in self.env.items()}

    def _texts(self, texts: str | tuple[str, ...] | None, key: str) -> Texts:
        loc = (*self._place, key)
        if isinstance(texts, str):
            return self.template(texts, loc, for_shell=True)
        if texts is None:
            return None
        return tuple(self.template(text, (*loc, index)) for index, text in enumerate(texts))

    def _file(self, file: PatternFile, *keys: str | int) -> PatternOfFile:
        loc = (*self._place, *keys)
        alias = self.template(file.alias, (*loc, "alias")) if file.alias is not None else None
        if file.template is None:
            return PatternOfFile(loc, self.template(file.path or "", (*loc, "path")), alias)
        path = self.template(file.template, (*loc, "template"))
        if not path.is_constant:
            text = "template: there is one for all jobs, so its path has no placeholders"
            self.found.add(Problem, self._document.offset((*loc, "template")), text)
        return PatternOfFile(loc, path, alias, is_made=True)


def _key_of(loc: Loc) -> str:
    return str(next(part for part in reversed(loc) if isinstance(part, str)))
