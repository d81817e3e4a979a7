"""Habits of this code base that no linter knows of."""

import ast
import inspect
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import distribute
from distribute.core import errors

ROOT = Path(__file__).parents[2]
PACKAGES = [ROOT / "shared" / "distribute", ROOT / "services", ROOT / "cli"]
SHIPPED = sorted(path for package in PACKAGES for path in package.rglob("*.py"))
SOURCES = sorted({*SHIPPED, *(ROOT / "tests").rglob("*.py"), *(ROOT / "infra").rglob("*.py")})
TEXTS = sorted(
    path
    for folder in ("shared", "services", "cli", "tests", "infra", "docs")
    for path in (ROOT / folder).rglob("*")
    if path.suffix in {".py", ".md", ".sh", ".yaml", ".yml", ".toml", ".conf", ".c", ".h", ".service"}
)

MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 70

Function = ast.FunctionDef | ast.AsyncFunctionDef


def label(path: Path) -> str:
    return str(path.relative_to(ROOT))


def functions(tree: ast.Module) -> Iterator[Function]:
    return (node for node in ast.walk(tree) if isinstance(node, Function))


def calls(tree: ast.Module, name: str) -> list[int]:
    """The lines on which something of this dotted name is called."""
    return [
        node.lineno
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and ast.unparse(node.func) == name
    ]


@pytest.mark.parametrize("path", SOURCES, ids=label)
def test_files_and_functions_can_be_read_at_a_sitting(path: Path) -> None:
    text = path.read_text()
    lines = text.count("\n")
    assert lines <= MAX_FILE_LINES, f"{lines} lines; {MAX_FILE_LINES} are enough for one subject"
    for function in functions(ast.parse(text)):
        length = (function.end_lineno or 0) - function.lineno + 1
        assert length <= MAX_FUNCTION_LINES, f"{function.name} has {length} lines"


@pytest.mark.parametrize("path", SHIPPED, ids=label)
def test_what_others_use_says_what_it_is(path: Path) -> None:
    """Every module, and every public class and function of one; methods where their name does not do."""
    tree = ast.parse(path.read_text())
    if not tree.body:
        return
    assert ast.get_docstring(tree), "the module has no docstring"
    for node in tree.body:
        if isinstance(node, ast.ClassDef | Function) and not node.name.startswith("_"):
            assert ast.get_docstring(node), f"{node.name} has no docstring"


@pytest.mark.parametrize("path", SHIPPED, ids=label)
def test_nothing_waits_blindly_or_checks_others_with_assert(path: Path) -> None:
    tree = ast.parse(path.read_text())
    assert not calls(tree, "time.sleep"), "wait for what is awaited"
    bare = [node.lineno for node in ast.walk(tree) if isinstance(node, ast.Assert) and node.msg is None]
    assert not bare, f"asserts with no word on what is wrong, on lines {bare}"


@pytest.mark.parametrize("path", [path for path in SHIPPED if "distribute_cli" not in path.parts], ids=label)
def test_only_the_command_line_prints(path: Path) -> None:
    assert not calls(ast.parse(path.read_text()), "print")


@pytest.mark.parametrize("path", TEXTS, ids=label)
def test_nothing_is_left_over(path: Path) -> None:
    text = path.read_text()
    someones_folder = re.search(r"(?<![\w.$}>])/(home|root|Users)/[a-z]\w*", text)
    assert someones_folder is None, f"a path of somebody's machine: {someones_folder}"
    unfinished = re.search(r"\b(TODO|FIXME|XXX)\b", text.replace("TODO|FIXME|XXX", ""))
    assert unfinished is None, f"{unfinished}"


def test_what_the_package_exports_is_there_and_documented() -> None:
    assert distribute.__all__ == sorted(distribute.__all__)
    for name in distribute.__all__:
        assert inspect.getdoc(getattr(distribute, name)), name


def test_every_error_stands_in_the_tree_and_in_its_picture() -> None:
    """A caller that catches the base catches everything the tool raises on purpose."""
    found = [error for _, error in inspect.getmembers(errors, inspect.isclass)]
    picture = errors.__doc__ or ""
    for error in found:
        assert issubclass(error, errors.DistributeError)
        assert re.search(rf"^ .*\b{error.__name__} ", picture, re.MULTILINE), error.__name__


@pytest.mark.parametrize("path", SHIPPED, ids=label)
def test_errors_of_our_own_belong_to_the_tree(path: Path) -> None:
    """What is named an error and derives from nothing of ours could slip through a caller's fingers."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ClassDef) and [ast.unparse(base) for base in node.bases] == ["Exception"]:
            assert node.name == "DistributeError"
