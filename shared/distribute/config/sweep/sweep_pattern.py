"""The pattern of a sweep's jobs: its texts with placeholders, ready to be filled for each point."""

from __future__ import annotations

import re
from typing import NamedTuple

from distribute.config.checking.input_trees import Named, TreeKey
from distribute.config.sections.file_refs import own_name
from distribute.config.sections.jobs_file import CommandPattern, JobPattern, PythonPattern
from distribute.config.sections.sweep_section import PatternFile, PatternInput
from distribute.config.sweep.sweep_sources import PATH
from distribute.config.yaml.yaml_source import Document, Loc
from distribute.config.yaml.yaml_syntax import Found, Problem
from distribute.sweeps import Point, SweepError, TextTemplate

Texts = TextTemplate | tuple[TextTemplate, ...] | None
_ENDING = re.compile(r"(?<=.)\.(?:j2|jinja2?)$")
"""How the name of a template ends, which the file that is made of it has not."""

Filled = str | tuple[str, ...] | None


class PatternOfFile(NamedTuple):
    """An input of each job, or its script. `path` None: the file or folder of its point.

    `alias` None: its own name. `exclude` and `ref` are those of a folder, a glob or a checkout. `is_made`: it
    is made of the template file at `path`.
    """

    loc: Loc
    path: TextTemplate | None
    alias: TextTemplate | None = None
    exclude: tuple[TextTemplate, ...] = ()
    ref: TextTemplate | None = None
    is_made: bool = False

    @property
    def is_point(self) -> bool:
        """Is it the file or folder of its point, under its own name?"""
        is_own = self.path is None or self.path.text == f"{{{PATH}}}"
        return is_own and self.alias is None and not self.is_made

    @property
    def is_constant(self) -> bool:
        """Do all jobs have the same one, under the same name?"""
        texts = filter(None, [self.alias, self.ref, *self.exclude])
        return (
            self.path is not None
            and self.path.is_constant
            and all(text.is_constant for text in texts)
            and not self.is_made
        )

    def fill(self, point: Point) -> Named:
        """The file, folder, glob or checkout of a point, and its alias."""
        path = str(point[PATH]) if self.path is None else self.path.fill(point)
        ref = None if self.ref is None else self.ref.fill(point)
        alias = None if self.alias is None else self.alias.fill(point)
        if self.is_made and alias is None:
            alias = _ENDING.sub("", own_name(path))
        exclude = tuple([pattern.fill(point) for pattern in self.exclude])
        return Named(TreeKey(path, exclude, ref), alias)


class Pattern:
    """The texts of a pattern. `found` has what is wrong with them.

    `known` are the names of the placeholders. `place` is where the pattern stands in the document.
    """

    def __init__(self, document: Document, place: Loc, pattern: JobPattern, known: tuple[str, ...]) -> None:
        self.found = Found()
        self._document = document
        self.place = place
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
        return self.place

    def fill_words(self, point: Point) -> Filled:
        """The command, or the arguments of a script."""
        if isinstance(self.words, tuple):
            return tuple([template.fill(point) for template in self.words])
        return None if self.words is None else self.words.fill(point)

    def fill_env(self, point: Point) -> dict[str, str]:
        """The variables."""
        return {name: template.fill(point) for name, template in self.env.items()}

    def _texts(self, texts: str | tuple[str, ...] | None, key: str) -> Texts:
        loc = (*self.place, key)
        if isinstance(texts, str):
            return self.template(texts, loc, for_shell=True)
        if texts is None:
            return None
        return tuple(self.template(text, (*loc, index)) for index, text in enumerate(texts))

    def _file(self, file: PatternFile, *keys: str | int) -> PatternOfFile:
        loc = (*self.place, *keys)
        alias = self.template(file.alias, (*loc, "alias")) if file.alias is not None else None
        if file.template is None:
            exclude, ref = self._of_tree(file, loc) if isinstance(file, PatternInput) else ((), None)
            return PatternOfFile(loc, self.template(file.path or "", (*loc, "path")), alias, exclude, ref)
        path = self._path_of_template(file.template, (*loc, "template"))
        return PatternOfFile(loc, path, alias, is_made=True)

    def _of_tree(self, file: PatternInput, loc: Loc) -> tuple[tuple[TextTemplate, ...], TextTemplate | None]:
        """The patterns of what is left out of an input, and the ref of a checkout."""
        ref = None if file.git_ref is None else self.template(file.git_ref, (*loc, "ref"))
        exclude = [
            self.template(pattern, (*loc, "exclude", index)) for index, pattern in enumerate(file.exclude)
        ]
        return tuple(exclude), ref

    def _path_of_template(self, text: str, loc: Loc) -> TextTemplate:
        path = self.template(text, loc)
        if not path.is_constant:
            problem = f"{_key_of(loc)}: there is one for all jobs, so its path has no placeholders"
            self.found.add(Problem, self._document.offset(loc), problem)
        return path


def _key_of(loc: Loc) -> str:
    return str(next(part for part in reversed(loc) if isinstance(part, str)))
