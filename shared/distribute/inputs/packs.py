"""Which small files share an object.

The places where packs end depend on the names of files and on sizes nearby, not on how many files come
before. So a file that changes, comes or goes changes the packs around it, and all others stay as they are and
are in the store already.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from itertools import accumulate

PACK_BYTES = 8 << 20
"""Max. bytes of a pack."""

PACK_FILES = 8192
"""Max. files of a pack."""


def packs(
    names: Sequence[bytes],
    sizes: Sequence[int],
    max_bytes: int = PACK_BYTES,
    max_files: int = PACK_FILES,
) -> Iterator[range]:
    """Divide files, in this order, into packs. Yields the indices of the files of each.

    A part that is too large is divided at the place with the lowest digest: before the file whose name has
    it. A larger file than `max_bytes` is a pack of its own.
    """
    if not names:
        return
    ends = [0, *accumulate(sizes)]
    left, right, root = _tree([hashlib.blake2b(name, digest_size=8).digest() for name in names])
    todo = [(0, len(names), root)]
    while todo:
        start, stop, place = todo.pop()
        if not place or (ends[stop] - ends[start] <= max_bytes and stop - start <= max_files):
            yield range(start, stop)
        else:
            todo.append((place, stop, right[place]))
            todo.append((start, place, left[place]))


def _tree(digests: Sequence[bytes]) -> tuple[list[int], list[int], int]:
    """For each place, the lowest places between it and lower ones to its left and right; and the lowest.

    Place `n` is before file `n`; 0 stands for none.
    """
    left, right = [0] * len(digests), [0] * len(digests)
    spine: list[int] = []
    for place in range(1, len(digests)):
        below = 0
        while spine and digests[spine[-1]] > digests[place]:
            below = spine.pop()
        left[place] = below
        if spine:
            right[spine[-1]] = place
        spine.append(place)
    return left, right, spine[0] if spine else 0
