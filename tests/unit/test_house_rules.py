"""House rules that no linter checks."""

import ast
import inspect
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

import distribute
from distribute.core import errors

ROOT = Path(__file__).parents[2]
SHARED = sorted((ROOT / "shared").rglob("*.py"))
SHIPPED = sorted({*SHARED, *(ROOT / "services").rglob("*.py"), *(ROOT / "cli").rglob("*.py")})
SOURCES = sorted({*SHIPPED, *(ROOT / "tests").rglob("*.py"), *(ROOT / "infra").rglob("*.py")})
KINDS_OF_TEXT = {".py", ".md", ".sh", ".yaml", ".yml", ".toml", ".conf", ".c", ".h", ".service"}
TEXTS = sorted(
    path
    for folder in ("shared", "services", "cli", "tests", "infra", "docs")
    for path in (ROOT / folder).rglob("*")
    if path.suffix in KINDS_OF_TEXT
)

MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 70

Function = ast.FunctionDef | ast.AsyncFunctionDef

BROKEN = "\n".join(
    [
        "import time  # no" + "qa",
        "def long():",
        *["    time.sleep(1)"] * MAX_FUNCTION_LINES,
        "    return [sys.executable, error.strerror, '/home/" + "john']",
    ]
)
"""A file that breaks every rule."""


@dataclass
class Source:
    """A text file of ours."""

    path: Path

    @cached_property
    def text(self) -> str:
        return self.path.read_text()

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text)

    def all(self, *kinds: type[ast.AST]) -> list[Any]:
        """The nodes of these kinds."""
        return [node for node in ast.walk(self.tree) if isinstance(node, kinds)]


Rule = Callable[[Source], Iterator[str]]
"""Yields what is wrong with a file."""

RULES: dict[Rule, frozenset[Path]] = {}


def rule_for(paths: Iterable[Path]) -> Callable[[Rule], Rule]:
    """Make a function a rule for these files."""

    def add(rule: Rule) -> Rule:
        RULES[rule] = frozenset(paths)
        return rule

    return add


@rule_for(SOURCES)
def files_and_functions_are_short(source: Source) -> Iterator[str]:
    lines = source.text.count("\n")
    if lines > MAX_FILE_LINES:
        yield f"{lines} lines; {MAX_FILE_LINES} are enough for one subject"
    for node in source.all(ast.FunctionDef, ast.AsyncFunctionDef):
        length = (node.end_lineno or 0) - node.lineno + 1
        if length > MAX_FUNCTION_LINES:
            yield f"{node.name} has {length} lines"


@rule_for(path for path in SHARED if "testing" not in path.parts)
def shared_modules_classes_and_functions_have_docstrings(source: Source) -> Iterator[str]:
    """Every module, and every public class and function of one."""
    if source.tree.body and not ast.get_docstring(source.tree):
        yield "the module has no docstring"
    for node in source.tree.body:
        if not isinstance(node, ast.ClassDef | Function) or node.name.startswith("_"):
            continue
        if "overload" in map(ast.unparse, node.decorator_list):
            continue  # the docstring is that of the function behind it
        if not ast.get_docstring(node):
            yield f"{node.name} has no docstring"


@rule_for(SHIPPED)
def nothing_sleeps_blindly(source: Source) -> Iterator[str]:
    for call in source.all(ast.Call):
        if ast.unparse(call.func) == "time.sleep":
            yield f"sleeps on line {call.lineno}: wait for what is awaited"


@rule_for(SHIPPED)
def no_program_of_ours_imports_from_the_current_folder(source: Source) -> Iterator[str]:
    """Every command line of this Python has `-P`: the current folder is a person's."""
    for node in source.all(ast.List, ast.Call):
        words = [ast.unparse(word) for word in (node.elts if isinstance(node, ast.List) else node.args)]
        if "sys.executable" in words:
            option = words[words.index("sys.executable") + 1 :][:1]
            if option != ["'-P'"]:
                yield f"line {node.lineno} starts Python without -P"


@rule_for(SHIPPED)
def only_one_module_words_what_the_system_refuses(source: Source) -> Iterator[str]:
    """`os_words.why` says it plainly; other texts have numbers in brackets, or the words of the C library."""
    used = re.findall(r"error\.strerror|os\.strerror\(", source.text)
    allowed = {"os_words.py": 1, "files.py": 2, "system.py": 1}  # cp's complaint; a cause for os_words
    if len(used) > allowed.get(source.path.name, 0):
        yield f"use `why(error)` instead of {used}"


@rule_for(SOURCES)
def every_ignored_check_names_its_rule(source: Source) -> Iterator[str]:
    silenced = re.search(r"#\s*(type: ignore(?!\[)|noqa(?!:))", source.text)
    if silenced is not None:
        yield f"{silenced}"


@rule_for(TEXTS)
def no_leftovers_are_in_the_code(source: Source) -> Iterator[str]:
    somebodys = re.search(r"(?<![\w.$}>])/(home|root|Users)/(?!jane)[a-z]\w*", source.text)
    if somebodys is not None:
        yield f"a path of somebody's machine: {somebodys}"
    unfinished = re.search(r"\b(TOD[O]|FIXM[E]|XX[X])\b", source.text)
    if unfinished is not None:
        yield f"{unfinished}"


@pytest.fixture(scope="module")
def faults() -> dict[Rule, list[str]]:
    """What is wrong, by the rule. Each file is read and parsed once, for all rules."""
    found: dict[Rule, list[str]] = {rule: [] for rule in RULES}
    for path in sorted(frozenset().union(*RULES.values())):
        source = Source(path)
        for rule, paths in RULES.items():
            if path in paths:
                found[rule] += (f"{path.relative_to(ROOT)}: {fault}" for fault in rule(source))
    return found


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_all_files_keep_the_rule(rule: Rule, faults: dict[Rule, list[str]]) -> None:
    assert faults[rule] == []


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_a_rule_finds_what_breaks_it(rule: Rule, tmp_path: Path) -> None:
    (tmp_path / "bad.py").write_text(BROKEN)
    assert list(rule(Source(tmp_path / "bad.py"))) != []


def test_the_package_has_its_installed_version() -> None:
    assert distribute.__version__ == version("distribute-lab")


@pytest.mark.parametrize(
    "package", ["shared/distribute", "services/distribute_services", "cli/distribute_cli"]
)
def test_packages_are_marked_as_typed(package: str) -> None:
    assert (ROOT / package / "py.typed").exists()


def test_every_error_is_in_the_tree_and_in_its_docstring() -> None:
    """A handler of the base class catches every error that the tool raises on purpose."""
    picture = errors.__doc__ or ""
    for name, error in inspect.getmembers(errors, inspect.isclass):
        assert issubclass(error, errors.DistributeError)
        assert re.search(rf"^ .*\b{name} ", picture, re.MULTILINE), f"{name} is not in the picture"
