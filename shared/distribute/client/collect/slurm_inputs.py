"""The inputs of a batch, in the folder that `distribute slurm` wrote, as the store has them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from distribute.client.collect.folder_files import is_file, is_folder_in
from distribute.core.spec.named_inputs import files_of, folders_of
from distribute.core.spec.specs import BatchSpec, InputFile, InputFolder, InputObject
from distribute.inputs.listed import Hasher
from distribute.inputs.patterns import Exclude, behind_fixed, matches, of_lines
from distribute.inputs.sources import JoinedSource, Source
from distribute.inputs.tree import folder_tree, tree_of_matches, united


class FoundInputs(NamedTuple):
    """The inputs of a batch in a folder: `sources` of their objects, by SHA-256.

    `missing` are the names of those that are not there, or not as they were written.
    """

    sources: Mapping[str, Path | Source]
    missing: Sequence[str]


def inputs_in(folder: Path, spec: BatchSpec) -> FoundInputs:
    """The input files and folders that lie in the folder. Storing them checks the digests of files."""
    files, trees = dict.fromkeys(files_of(spec)), dict.fromkeys(folders_of(spec))
    sources = _sources_in(folder, files, trees) if is_folder_in(folder, "files") else {}
    missing = [file.alias for file in files if file.stored.sha256 not in sources]
    missing += [
        tree.alias or ", ".join(of_lines(tree.pattern or "")) for tree in trees if tree.sha256 not in sources
    ]
    return FoundInputs(sources, list(dict.fromkeys(missing)))


def _sources_in(
    folder: Path, files: Iterable[InputFile], trees: Iterable[InputFolder]
) -> dict[str, Path | Source]:
    alone = sorted({file.sha256 for file in files if file.pack is None})
    paths = {sha256: folder / "files" / sha256 for sha256 in alone}
    sources: dict[str, Path | Source] = {sha256: path for sha256, path in paths.items() if is_file(path)}
    sources |= _packs_of(folder / "files", files)
    for tree in trees:
        if is_folder_in(folder, "files", tree.sha256):
            sources |= _objects_of(folder / "files" / tree.sha256, tree)
    return sources


def _packs_of(folder: Path, files: Iterable[InputFile]) -> dict[str, Source]:
    """The objects that files share, which lie in `folder` each by itself. Only those that are whole."""
    packs: dict[InputObject, dict[int, InputFile]] = {}
    for file in files:
        if file.pack is not None and file.size_bytes:
            packs.setdefault(file.pack, {})[file.offset or 0] = file
    found: dict[str, Source] = {}
    for pack, parts in packs.items():
        in_order = [file for _, file in sorted(parts.items())]
        paths = [folder / file.sha256 for file in in_order]
        joined = JoinedSource(paths, [file.size_bytes for file in in_order])
        if joined.size_bytes == pack.size_bytes and all(map(is_file, paths)):
            found[pack.sha256] = joined
    return found


def _objects_of(path: Path, tree: InputFolder) -> Mapping[str, Source]:
    """What an input folder was made of. Nothing if it isn't as it was written."""
    everything = Exclude(())
    if tree.pattern is not None:  # what it matched lies as it lay below the folder before its first wildcard
        matched = (matches(str(path), behind_fixed(pattern)).names for pattern in of_lines(tree.pattern))
        parts = [tree_of_matches(str(path), names, everything) for names in matched]
        found = parts[0] if len(parts) == 1 else united(parts)
    else:
        found = folder_tree(str(path), everything)
    if found.problems:
        return {}
    listed = Hasher().listed(found, str(path))
    return listed.sources if listed.sha256 == tree.sha256 else {}
