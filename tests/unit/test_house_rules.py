"""House rules that no linter checks."""

import ast
import inspect
import re
from importlib.metadata import version
from pathlib import Path

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

PACKAGES = ("shared/distribute", "services/distribute_services", "cli/distribute_cli")

MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 70

Function = ast.FunctionDef | ast.AsyncFunctionDef


def label(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", SOURCES, ids=label)
def test_files_and_functions_are_short(path: Path) -> None:
    text = path.read_text()
    lines = text.count("\n")
    assert lines <= MAX_FILE_LINES, f"{lines} lines; {MAX_FILE_LINES} are enough for one subject"
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, Function):
            length = (node.end_lineno or 0) - node.lineno + 1
            assert length <= MAX_FUNCTION_LINES, f"{node.name} has {length} lines"


@pytest.mark.parametrize("path", [path for path in SHARED if "testing" not in path.parts], ids=label)
def test_shared_modules_classes_and_functions_have_docstrings(path: Path) -> None:
    """Every module, and every public class and function of one."""
    tree = ast.parse(path.read_text())
    if not tree.body:
        return
    assert ast.get_docstring(tree), "the module has no docstring"
    for node in tree.body:
        if isinstance(node, ast.ClassDef | Function) and not node.name.startswith("_"):
            assert ast.get_docstring(node), f"{node.name} has no docstring"


@pytest.mark.parametrize("path", SHIPPED, ids=label)
def test_no_test_sleeps_blindly(path: Path) -> None:
    called = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
    asleep = [call.lineno for call in called if ast.unparse(call.func) == "time.sleep"]
    assert not asleep, f"sleeps on lines {asleep}: wait for what is awaited"


@pytest.mark.parametrize("path", SHIPPED, ids=label)
def test_no_program_of_ours_imports_from_the_current_folder(path: Path) -> None:
    """Every command line of this Python has `-P`: the current folder is a person's."""
    for node in ast.walk(ast.parse(path.read_text())):
        words = node.elts if isinstance(node, ast.List) else node.args if isinstance(node, ast.Call) else []
        unparsed = [ast.unparse(word) for word in words]
        if "sys.executable" in unparsed:
            option = unparsed[unparsed.index("sys.executable") + 1 :][:1]
            assert option == ["'-P'"], f"line {node.lineno} starts Python without -P"


@pytest.mark.parametrize("path", SHIPPED, ids=label)
def test_only_one_module_words_what_the_system_refuses(path: Path) -> None:
    """`os_words.why` says it plainly; other texts have numbers in brackets, or the words of the C library."""
    used = re.findall(r"error\.strerror|os\.strerror\(", path.read_text())
    allowed = {"os_words.py": 1, "files.py": 2, "system.py": 1}  # cp's complaint; a cause for os_words
    assert len(used) <= allowed.get(path.name, 0), f"use `why(error)` instead of {used}"


@pytest.mark.parametrize("path", SOURCES, ids=label)
def test_every_ignored_check_names_its_rule(path: Path) -> None:
    silenced = re.search(r"#\s*(type: ignore(?!\[)|noqa(?!:))", path.read_text())
    assert silenced is None, f"{silenced}"


@pytest.mark.parametrize("path", TEXTS, ids=label)
def test_no_leftovers_are_in_the_code(path: Path) -> None:
    text = path.read_text()
    somebodys = re.search(r"(?<![\w.$}>])/(home|root|Users)/(?!jane)[a-z]\w*", text)
    assert somebodys is None, f"a path of somebody's machine: {somebodys}"
    unfinished = re.search(r"\b(TOD[O]|FIXM[E]|XX[X])\b", text)
    assert unfinished is None, f"{unfinished}"


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
