"""Makes the jobs of a sweep: fills the pattern `job` of the batch's kind for each point.

The pattern is validated as a whole, and the values are checked as they are read. So no job goes through the
validation of a written-out one, which would take ten times as long; the specification checks its bounds.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain, islice
from typing import TypeAlias

from distribute.config.checking.input_files import InputFiles
from distribute.config.checking.input_trees import Named, TreeKey
from distribute.config.sections.file_refs import checked_patterns
from distribute.config.sections.jobs_file import JobsFile
from distribute.config.sections.needs import Needs
from distribute.config.sections.slurm_section import Slurm
from distribute.config.sweep.rendered import Renderer, Template, read_template, rendering
from distribute.config.sweep.sweep_needs import NeedError, SweptNeeds
from distribute.config.sweep.sweep_pattern import Filled, Pattern, PatternOfFile
from distribute.config.sweep.sweeping import sweep_of
from distribute.config.yaml.yaml_source import Document, Loc
from distribute.config.yaml.yaml_syntax import Found, Problem, written
from distribute.core.errors import InputError
from distribute.core.ids import check_name
from distribute.core.lean import without_fields_set
from distribute.core.spec import specs
from distribute.core.spec.recipe import INPUT
from distribute.core.spec.specs import MAX_JOBS
from distribute.core.words import format_size, quoted
from distribute.inputs.made import MadeContents
from distribute.inputs.packs import PACK_FILES
from distribute.sweeps import (
    NUMBER,
    Point,
    Scalar,
    SweepError,
    default_name,
    named,
    numbered,
    plain,
    point_text,
)

MAX_TEXT_CHARS = 80 << 20
"""The names, texts and parameters of a sweep's jobs have to fit into a submission, which has 96 MiB."""

_RENDERED_AT_ONCE = 100
"""For so many points, files are asked for together."""

Files: TypeAlias = tuple[specs.InputFile, ...]
Folders: TypeAlias = tuple[specs.InputFolder, ...]

Made: TypeAlias = Files
"""What was made of templates for a job: its input files, then its script."""

FileOf: TypeAlias = Callable[[Named], specs.InputFile]
"""The specification's file for a name in the pattern."""

InputsOf: TypeAlias = Callable[[Sequence[Named]], tuple[Files, Folders]]
"""The files and the folders of a list of inputs."""


class Common(Needs):
    """What the jobs of all kinds have."""

    name: str
    files: Files
    folders: Folders | None
    env: dict[str, str]
    parameters: dict[str, Scalar] | None


class SweptJobs:
    """The jobs of a batch's sweep. No job is made before it is asked for.

    Raises:
        InputError: something is wrong with the sweep, or with a job that it would make.
    """

    def __init__(self, document: Document, jobs_file: JobsFile, files: InputFiles) -> None:
        section, job = jobs_file.sweep, jobs_file.work.job
        assert section is not None, "`check` makes sure that there is a sweep"
        assert job is not None, "`check` makes sure that a sweep has a pattern"
        self._document = document
        self._kind = jobs_file.kind
        place = (self._kind, "job")
        input_folder = f"/{INPUT}" if self._kind == "apptainer" else INPUT
        try:
            self._sweep = sweep_of(section, files.folder, input_folder)
        except SweepError as error:
            raise self._refused(("sweep", *error.loc), str(error)) from error
        self._known = tuple(dict.fromkeys((*self._sweep.names, NUMBER)))
        self._pattern = Pattern(document, place, job, self._known)
        self._needs = SweptNeeds(jobs_file, job, self._pattern)
        self._name = self._pattern.template(section.name or default_name(self._sweep), ("sweep", "name"))
        if self._pattern.found:
            raise InputError(*document.lines(self._pattern.found))
        self._files = [*self._pattern.files]
        if section.each is not None and not any(file.is_point for file in self._files):
            self._files.append(PatternOfFile(("sweep", "each"), None))
        self._others = {entry.name for entry in jobs_file.work.jobs}
        if jobs_file.finally_ is not None:
            self._others.add(jobs_file.finally_.name)
        self._check_count()
        self._check_files(files)
        script = self._pattern.script
        self._made = [file for file in (*self._files, script) if file is not None and file.is_made]
        self._templates = [self._read(file, files) for file in self._made]
        self.made = MadeContents()
        """The files that are made of templates, once the jobs are."""
        self.slurm: list[Slurm | None] = []
        """The options of sbatch of each job, once it is made."""

    def __len__(self) -> int:
        return len(self._sweep)

    def python(self, file_of: FileOf, inputs_of: InputsOf) -> Iterator[specs.PythonJob]:
        """The jobs of a batch of python, in the order of the points."""
        script = self._pattern.script
        assert script is not None, "a script is required"
        for common, words, point, made in self._filled(inputs_of):
            assert not isinstance(words, str), "arguments are a list"
            of_job = made[-1] if script.is_made else file_of(script.fill(point))
            yield without_fields_set(specs.PythonJob(script=of_job, args=words, **common))

    def command(self, inputs_of: InputsOf) -> Iterator[specs.CommandJob]:
        """The jobs of a batch of command."""
        for common, words, _, _ in self._filled(inputs_of):
            assert words is not None, "a command is required"
            yield without_fields_set(specs.CommandJob(command=words, **common))

    def apptainer(self, inputs_of: InputsOf) -> Iterator[specs.ApptainerJob]:
        """The jobs of a batch of apptainer."""
        for common, _, _, _ in self._filled(inputs_of):
            yield without_fields_set(specs.ApptainerJob(**common))

    def _filled(self, inputs_of: InputsOf) -> Iterator[tuple[Common, Filled, Point, Made]]:
        """Each job, filled. Raises InputError if a value does not suit, or a name is taken."""
        point = Point()
        try:
            constant = tuple(file.fill({}) for file in self._files if file.is_constant)
            varying = [file for file in self._files if not (file.is_constant or file.is_made)]
            files, folders = inputs_of(constant)
            inputs_made = sum(file.is_made for file in self._files)
            left_chars = MAX_TEXT_CHARS
            for name, point, made in self._points():
                words, env = self._pattern.fill_words(point), self._pattern.fill_env(point)
                needs, slurm = self._needs.fill(point)
                left_chars -= _size(name, words, env, point)
                if name in self._others or left_chars < 0:
                    raise self._unfit(name, point, is_taken=left_chars >= 0)
                if varying:
                    files, folders = inputs_of((*constant, *[file.fill(point) for file in varying]))
                parameters = {each: plain(point[each]) for each in self._sweep.recorded}
                common: Common = {
                    "name": name,
                    "files": (*files, *made[:inputs_made]),
                    "folders": folders or None,
                    "env": env,
                    "parameters": parameters,
                    **needs,
                }
                self.slurm.append(slurm)
                yield common, words, point, made
        except NeedError as error:
            raise self._refused(error.place, f"{error} (at {self._of(point)})") from error
        except SweepError as error:
            if error.loc:
                raise self._refused(("sweep", *error.loc), str(error)) from error
            raise self._refused(self._pattern.culprit(point), f"{error} (at {self._of(point)})") from error

    def _points(self) -> Iterator[tuple[str, Point, Made]]:
        """The points with their names, and the files that are made for them."""
        jobs = named(self._sweep, self._name)
        if not self._made:
            for name, point in jobs:
                yield name, point, ()
            return
        with rendering(self.made) as renderer:
            for file, template in zip(self._made, self._templates, strict=True):
                with self._placed(file.loc):
                    renderer.add(template, self._known)
            waiting: deque[tuple[str, Point, list[str]]] = deque()
            """Jobs in whose packs more files may come."""
            while some := list(islice(jobs, _RENDERED_AT_ONCE)):
                waiting += self._rendered(renderer, some)
                if len(waiting) >= PACK_FILES:
                    self.made.close_pack()
                while waiting and (found := self._input_files(*waiting[0][1:])):
                    name, point, _ = waiting.popleft()
                    yield name, point, found
            self.made.close_pack()
            for name, point, files in waiting:
                yield name, point, self._input_files(point, files)

    def _rendered(
        self, renderer: Renderer, jobs: Sequence[tuple[str, Point]]
    ) -> Iterator[tuple[str, Point, list[str]]]:
        """Jobs, with the digests of their files."""
        files = renderer.render([point for _, point in jobs])
        for name, point in jobs:
            with self._placed(self._made[0].loc):
                yield name, point, next(files)

    def _read(self, file: PatternOfFile, files: InputFiles) -> Template:
        assert file.path is not None, "the file of a point is not made"
        path = file.path.fill({})
        with self._placed(file.loc):
            return read_template(files.absolute(path), path)

    def _input_files(self, point: Point, digests: Sequence[str]) -> Made:
        """The files that were made for a point. Empty: one is in a pack that is not complete."""
        found = [content for content in map(self.made.of, digests) if content is not None]
        if len(found) < len(digests):
            return ()
        return tuple(
            content.file(str(file.fill(point).alias), template.mode, template.mtime_ns)
            for file, template, content in zip(self._made, self._templates, found, strict=True)
        )

    @contextmanager
    def _placed(self, loc: Loc) -> Iterator[None]:
        """Give an error of the block its place in the document."""
        try:
            yield
        except SweepError as error:
            raise self._refused(loc, str(error)) from error

    def _refused(self, loc: Loc, text: str) -> InputError:
        return InputError(*self._document.lines(Found([Problem(self._document.offset(loc), text)])))

    def _check_count(self) -> None:
        if len(self._others) + len(self) > MAX_JOBS:
            raise self._refused(
                ("sweep",),
                f"the sweep makes {len(self):,} jobs, besides {len(self._others):,} that are listed, "
                f"and a batch may have {MAX_JOBS:,}; write fewer",
            )

    def _unfit(self, name: str, point: Point, *, is_taken: bool) -> SweepError:
        if is_taken:
            of_it = f"one that is listed, and one of the sweep ({self._of(point)})"
            return SweepError(f"two jobs would be called {quoted(name)}: {of_it}; change the name", "name")
        return SweepError(
            f"its jobs have more than {format_size(MAX_TEXT_CHARS)} of names, commands and values; "
            "write long texts into a file that all of them get",
            "name",
        )

    def _of(self, point: Point) -> str:
        return point_text(self._sweep.parameters(point))

    def _check_files(self, files: InputFiles) -> None:
        """Look at each file once, and whether a job has two of one name."""
        looked_at = [*self._files, *([self._pattern.script] if self._pattern.script is not None else [])]
        varying = [file for file in looked_at if not file.is_constant]
        seen: set[TreeKey] = set()
        names: dict[str, tuple[Named, ...]] = {}
        """The inputs of all points, by their names at the top of `input`."""
        points = numbered(self._sweep)
        first = next(points)
        for file in looked_at:
            if file.is_constant:
                self._check_file(file, first, names, seen, files)
        for point in chain([first], points if varying else ()):
            of_point = dict(names)
            for file in varying:
                self._check_file(file, point, of_point, seen, files)
            if self._pattern.found:
                raise InputError(*self._document.lines(self._pattern.found))

    def _check_file(
        self,
        file: PatternOfFile,
        point: Point,
        names: dict[str, tuple[Named, ...]],
        seen: set[TreeKey],
        files: InputFiles,
    ) -> None:
        """Check a file of a point, unless it was `seen`, and that no other of the point wants its `names`."""
        filled = file.fill(point)
        is_script = file is self._pattern.script
        if filled.key not in seen and not file.is_made:
            seen.add(filled.key)
            try:
                checked_patterns(filled.key.exclude)
            except ValueError as error:
                self._note(file, f"exclude: {error} (at {self._of(point)})")
            for problem in files.problems_with(filled.key, is_input=not is_script):
                self._note(file, written(problem))
        own = files.names_of(*filled)
        if filled.alias is not None or not files.trees.matches(filled.key):
            try:
                check_name(*own)
            except ValueError as error:
                self._note(file, f"{error} (at {self._of(point)})")
        for name in () if is_script else own:
            others = names.get(name, ())
            for other in others:
                if (place := files.clash(other, filled, name)) is not None:
                    where = f"{quoted(f'./input/{place}')} (at {self._of(point)})"
                    without = files.without_clash(filled, other, place)
                    self._note(file, f"two files would become {where}; add an alias{without}")
                    break
            names[name] = (*others, filled)

    def _note(self, file: PatternOfFile, text: str) -> None:
        self._pattern.found.add(Problem, self._document.offset(file.loc), text)


def _size(name: str, words: Filled, env: Mapping[str, str], point: Point) -> int:
    """The characters of a job's texts."""
    size = len(name) + (len(words) if isinstance(words, str) else sum(map(len, words or ())))
    size += sum(map(len, env.values())) if env else 0
    return size + sum([len(value) for value in point.values() if isinstance(value, str)])
