"""The code of a program's own modules, which no node has: sent along as a zip file, and imported from there.

A function of a script is pickled with its code, but one of a module beside the script only by its name. So if
a pickle names a module that is not installed, all of the program's own modules are sent.
"""

from __future__ import annotations

import io
import site
import sys
import sysconfig
import threading
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from distribute.core.errors import InputError
from distribute.core.words import format_size

MAX_CODE_BYTES = 64 << 20
"""More code than this is not sent: each job gets a copy."""
MAX_SEARCHED_BYTES = 1 << 20
"""In larger pickles, names of modules are looked for only at the beginning and the end."""

_NOT_OWN = frozenset(
    {
        "__main__",
        "__mp_main__",
        "distribute",
        "distribute_cli",
        "distribute_compute_config",
        "distribute_services",
    }
)


Listing = tuple[tuple[str, Path, int, int], ...]
"""Each file: its path in the zip file, its path here, the time of its last change, and its size."""


class OwnCode:
    """The modules of this program that are not installed, as one zip file."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._looked_at = 0
        self._roots: dict[str, Path] = {}
        self._zipped: tuple[Listing, bytes] | None = None

    def is_named_in(self, *pickles: bytes) -> bool:
        """Does one of these pickles name an own module?"""
        roots = self.roots()
        if not roots:
            return False
        texts = [
            pickle if len(pickle) <= MAX_SEARCHED_BYTES else pickle[: 1 << 16] + pickle[-(1 << 16) :]
            for pickle in pickles
        ]
        return any(name.encode() in text for name in roots for text in texts)

    def roots(self) -> dict[str, Path]:
        """The own modules and packages that are imported by now, by name: the file or folder of each."""
        with self._lock:
            if len(sys.modules) != self._looked_at:
                self._looked_at = len(sys.modules)
                self._roots = dict(_own_roots())
            return self._roots

    def zipped(self) -> bytes:
        """The code of all of them. The same code gives the same bytes.

        Raises:
            InputError: it is too much.
        """
        listing: Listing = tuple(
            (inside, source, (status := source.stat()).st_mtime_ns, status.st_size)
            for name, root in sorted(self.roots().items())
            for inside, source in _sources(name, root)
        )
        if self._zipped is None or self._zipped[0] != listing:
            self._zipped = listing, _zip(listing)
        return self._zipped[1]


def _zip(listing: Listing) -> bytes:
    if (size := sum(size for *_, size in listing)) > MAX_CODE_BYTES:
        largest = max(listing, key=lambda entry: entry[3])[1]
        raise InputError(
            f"this program's own modules have {format_size(size)} of code, the largest file is {largest}; at "
            f"most {format_size(MAX_CODE_BYTES)} are sent: install them with pip, here and on the nodes"
        )
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w", zipfile.ZIP_DEFLATED) as archive:
        for inside, source, *_ in listing:
            archive.writestr(zipfile.ZipInfo(inside), source.read_bytes())
    return written.getvalue()


def _own_roots() -> Iterator[tuple[str, Path]]:
    installed = _installed_folders()
    for name, module in list(sys.modules.items()):
        if "." in name or name in _NOT_OWN:
            continue
        file = getattr(module, "__file__", None)
        folders = list(getattr(module, "__path__", ()))
        source = Path(folders[0]) if folders else Path(file) if file else None
        if source is None or not source.exists() or not (folders or source.suffix == ".py"):
            continue
        resolved = source.resolve()
        if not any(resolved.is_relative_to(folder) for folder in installed):
            yield name, source


def _installed_folders() -> set[Path]:
    """Where the standard library and installed packages are."""
    paths = sysconfig.get_paths()
    found: Iterable[str] = (
        *(paths[name] for name in ("stdlib", "platstdlib", "purelib", "platlib")),
        *site.getsitepackages(),
        site.getusersitepackages(),
    )
    return {Path(folder).resolve() for folder in found}


def _sources(name: str, root: Path) -> Iterator[tuple[str, Path]]:
    """The Python files of a module or package, with their paths in the zip file."""
    if root.is_file():
        yield f"{name}.py", root
        return
    for source in sorted(root.rglob("*.py")):
        if "__pycache__" not in source.parts:
            yield f"{name}/{source.relative_to(root).as_posix()}", source
