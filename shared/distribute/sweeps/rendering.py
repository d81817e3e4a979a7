"""Input files that are made of a template file, by jinja2's sandbox: `{{ re }}`, loops, conditions.

Nothing here bounds the time that a template takes, nor its memory: see `distribute.config.sweep.rendered`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from difflib import get_close_matches
from types import TracebackType

from jinja2 import StrictUndefined, Template, TemplateError, TemplateSyntaxError, meta, nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment

from distribute.core.words import few, format_size, quoted
from distribute.sweeps.errors import SweepError
from distribute.sweeps.points import point_text
from distribute.sweeps.values import Scalar

MAX_RENDERED_BYTES = 16 << 20
"""A larger file is data, and not made of a template for each job."""

_OPTIONAL = {"default", "d", "defined", "undefined"}
"""Filters and tests that suit a name which may be missing."""

_RANDOM = ("lipsum",)
_RANDOM_FILTERS = ("random",)
"""What would make another file each time."""


class FileTemplate:
    """A template file, ready to be rendered. `name` is what problems call it: its path.

    Raises:
        SweepError: its syntax is wrong, or it uses a name that no parameter has. It says where.
    """

    def __init__(self, text: str, name: str, known: Collection[str]) -> None:
        self.name = name
        self._known = known
        newline = "\r\n" if "\r\n" in text else "\n"
        environment = ImmutableSandboxedEnvironment(
            undefined=StrictUndefined, keep_trailing_newline=True, autoescape=False, newline_sequence=newline
        )
        for word in _RANDOM:
            del environment.globals[word]
        for word in _RANDOM_FILTERS:
            del environment.filters[word]
        try:
            tree = environment.parse(text, filename=name)
            self._check_names(tree, environment.globals.keys())
            code = environment.compile(tree, filename=name)
            self._template = Template.from_code(environment, code, environment.make_globals(None))
        except TemplateSyntaxError as error:
            raise self._problem(error.lineno, str(error.message)) from error
        except RecursionError as error:
            raise SweepError(f"{name}: it is nested too deeply") from error

    def _check_names(self, tree: nodes.Template, own: Collection[str]) -> None:
        unknown = meta.find_undeclared_variables(tree) - set(self._known) - set(own)
        optional = {
            name.name
            for node in tree.find_all((nodes.Filter, nodes.Test))
            if node.name in _OPTIONAL and node.node is not None
            for name in [*node.node.find_all(nodes.Name), node.node]
            if isinstance(name, nodes.Name)
        }
        for node in tree.find_all(nodes.Name):
            if node.name in unknown - optional:
                raise self._unknown(node.name, node.lineno)

    def render(self, point: Mapping[str, Scalar]) -> bytes:
        """The file for a point.

        Raises:
            SweepError: the template fails at this point, or makes too much.
        """
        try:
            made = self._made(point)
        except (TemplateError, ArithmeticError, LookupError, TypeError, ValueError, RecursionError) as error:
            raise self._failed(error, point) from error
        if made is None:
            raise SweepError(
                f"{self.name}: it makes more than {format_size(MAX_RENDERED_BYTES)} "
                f"at {point_text(point)}; is there a loop too many?"
            )
        return made

    def _made(self, point: Mapping[str, Scalar]) -> bytes | None:
        """The rendered file. None: it is too large."""
        parts, size = [], 0
        for part in self._template.generate(point):
            parts.append(part)
            size += len(part)
            if size > MAX_RENDERED_BYTES:
                return None
        made = "".join(parts).encode()
        return made if len(made) <= MAX_RENDERED_BYTES else None

    def _failed(self, error: Exception, point: Mapping[str, Scalar]) -> SweepError:
        cause = str(error) or type(error).__name__
        return self._problem(self._line_of(error.__traceback__), f"{cause} (at {point_text(point)})")

    def _line_of(self, traceback: TracebackType | None) -> int | None:
        """The line of the template that failed: jinja2 gives it a frame of its own."""
        line = None
        for frame, number in _frames(traceback):
            if frame == self.name:
                line = number
        return line

    def _problem(self, line: int | None, text: str) -> SweepError:
        place = self.name if line is None else f"{self.name}:{line}"
        return SweepError(f"{place}: {text}")

    def _unknown(self, name: str, line: int) -> SweepError:
        near = get_close_matches(name, self._known, n=1)
        meant = f"did you mean {near[0]}? " if near else ""
        return self._problem(
            line, f"{quoted(name)} names no parameter: {meant}there are {few(list(self._known))}"
        )


def _frames(traceback: TracebackType | None) -> Iterator[tuple[str, int]]:
    while traceback is not None:
        yield traceback.tb_frame.f_code.co_filename, traceback.tb_lineno
        traceback = traceback.tb_next
