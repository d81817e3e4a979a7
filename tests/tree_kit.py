"""Trees of files, folders and links for tests: strategies for them, on the disk, and as they are there."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from pathlib import Path

from hypothesis import strategies as st

NAMES = st.one_of(
    st.sampled_from([b"a", b"b", b"c", b"-rf", b".hidden", b"*", b"a b", b"a\nb", b"\xff\xfe", b"x" * 255]),
    st.binary(min_size=1, max_size=8).filter(lambda name: not {0, ord("/")} & set(name)),
).filter(lambda name: name not in {b".", b".."})
FILES = st.tuples(
    st.binary(max_size=40), st.sampled_from([0o644, 0o755, 0o600, 0o444, 0o777]), st.integers(0, 2**60)
)
LARGE = st.tuples(st.sampled_from([1 << 20, 3 << 20]), st.just(0o640), st.integers(0, 2**60))
LINKS = st.sampled_from([b"a", b"./b", b"a/c", b"nowhere", b"../a", b"../../b"])
TREES = st.recursive(
    st.one_of(FILES, FILES, FILES, LINKS, LARGE),
    lambda below: st.tuples(
        st.dictionaries(NAMES, below, max_size=5), st.sampled_from([0o755, 0o700, 0o775])
    ),
    max_leaves=12,
)
Tree = dict[bytes, object]


def on_disk(path: bytes) -> Path:
    return Path(os.fsdecode(path))


def make(folder: bytes, tree: Mapping[bytes, object], depth: int = 0) -> None:
    """Write a tree to the disk. Links that would lead out are left away."""
    for name, what in tree.items():
        path = folder + b"/" + name
        match what:
            case bytes():
                if what.count(b"../") <= depth:
                    on_disk(path).symlink_to(os.fsdecode(what))
            case (dict() as below, int(mode)):
                on_disk(path).mkdir()
                make(path, below, depth + 1)
                on_disk(path).chmod(mode)
            case (bytes() | int() as content, int(mode), int(mtime_ns)):
                on_disk(path).write_bytes(content if isinstance(content, bytes) else b"l" * content)
                on_disk(path).chmod(mode)
                os.utime(path, ns=(mtime_ns, mtime_ns))
            case _:
                raise AssertionError(what)


def look(folder: bytes) -> dict[bytes, tuple[object, ...]]:
    """Everything in a folder: types, modes, contents, times of files, targets of links."""
    found: dict[bytes, tuple[object, ...]] = {b"": (stat.S_IMODE(on_disk(folder).stat().st_mode),)}
    for above, folders, files in os.walk(folder):
        for name in (*folders, *files):
            path = above + b"/" + name
            status = os.lstat(path)
            what: tuple[object, ...] = (stat.S_IFMT(status.st_mode), stat.S_IMODE(status.st_mode))
            if stat.S_ISREG(status.st_mode):
                what += (on_disk(path).read_bytes(), status.st_mtime_ns)
            elif stat.S_ISLNK(status.st_mode):
                what += (os.fsencode(on_disk(path).readlink()),)
            found[os.path.relpath(path, folder)] = what
    return found
