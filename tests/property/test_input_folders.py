"""A folder that is an input is the same folder where it is laid out, and small files share objects stably."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

from hypothesis import example, given, settings
from hypothesis import strategies as st

from distribute.inputs.laying_out import lay_out, objects_of
from distribute.inputs.listed import Hasher, Listed
from distribute.inputs.packs import packs
from distribute.inputs.patterns import Exclude
from distribute.inputs.sources import as_files
from distribute.inputs.tree import folder_tree
from tree_kit import NAMES, TREES, Tree, look, make


def list_it(folder: Path) -> Listed:
    tree = folder_tree(str(folder), Exclude(()))
    assert tree.problems == []
    return Hasher().listed(tree, str(folder))


def sent(listed: Listed, to: Path) -> dict[str, Path]:
    to.mkdir()
    return as_files(listed.sources, to)


@given(tree=st.dictionaries(NAMES, TREES, max_size=6), mode=st.sampled_from([0o755, 0o750]))
@example(tree={b"l": (1 << 20, 0o640, 5), b"d": ({b"e": ({}, 0o700)}, 0o755), b"k": b"d/e"}, mode=0o755)
@settings(deadline=None, max_examples=40)
def test_a_folder_is_laid_out_as_it_was(tree: Tree, mode: int) -> None:
    with tempfile.TemporaryDirectory() as base:
        before, after = Path(base, "before"), Path(base, "after")
        before.mkdir()
        make(os.fsencode(before), tree)
        before.chmod(mode)
        listed = list_it(before)
        files = sent(listed, Path(base, "store"))
        assert objects_of(files[listed.sha256]).keys() | {listed.sha256} == files.keys()
        lay_out(files[listed.sha256], files, after)
        assert look(os.fsencode(after)) == look(os.fsencode(before))
        again = list_it(after)
        assert (again.sha256, again.content) == (listed.sha256, listed.content)


SIZES = st.lists(st.integers(1, 100), max_size=200)


def divided(sizes: Mapping[bytes, int]) -> list[tuple[bytes, ...]]:
    names = sorted(sizes)
    parts = packs(names, [sizes[name] for name in names], max_bytes=300, max_files=20)
    return [tuple(names[index] for index in part) for part in parts]


def weighed(sizes: Mapping[bytes, int]) -> set[tuple[tuple[bytes, int], ...]]:
    return {tuple((name, sizes[name]) for name in part) for part in divided(sizes)}


@given(SIZES)
def test_packs_hold_each_file_once_in_order_and_keep_their_bounds(sizes: list[int]) -> None:
    named = {b"%05d" % number: size for number, size in enumerate(sizes)}
    parts = divided(named)
    assert [name for part in parts for name in part] == sorted(named)
    assert all(sum(named[name] for name in part) <= 300 and len(part) <= 20 for part in parts)


@given(st.lists(st.integers(1, 100), min_size=1, max_size=200), st.data())
def test_a_file_that_changes_its_size_changes_only_packs_of_one_place(
    sizes: list[int], data: st.DataObject
) -> None:
    """At most what one pack can hold is sent again, beside the file itself."""
    named = {b"%05d" % number: size for number, size in enumerate(sizes)}
    changed = data.draw(st.sampled_from(sorted(named)))
    later = named | {changed: data.draw(st.integers(1, 100))}
    new = weighed(later) - weighed(named)
    assert sum(size for part in new for _, size in part) <= 300 + 100
    names = [name for part in new for name, _ in part]
    assert not names or changed in names


def test_a_file_that_is_added_to_many_changes_few_packs() -> None:
    named = {b"%05d" % (2 * number): 10 for number in range(5000)}
    before = weighed(named)
    sent_again = [weighed(named | {b"%05d" % (2 * number + 1): 10}) - before for number in range(0, 5000, 50)]
    assert max(map(len, sent_again)) <= 4
    assert len(before) < 600
