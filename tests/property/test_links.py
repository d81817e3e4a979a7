"""A link that is archived leads in a copy of the results to where it led in the results."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from distribute.core.files.manifest import link_stays_inside
from distribute.links import Links

FOLDERS = ("", "d", "d/e")
PARTS = st.sampled_from(["..", ".", "a", "b", "d", "e", "f", "save", "elsewhere"])
TARGETS = st.builds(
    lambda start, parts: start + "/".join(parts),
    st.sampled_from(["", "", "", "{save}/", "/distribute_save/", "{base}/", "/"]),
    st.lists(PARTS, min_size=1, max_size=5),
)
LINKS = st.dictionaries(
    st.builds(
        lambda folder, name: f"{folder}/{name}".lstrip("/"), st.sampled_from(FOLDERS), st.sampled_from("abc")
    ),
    TARGETS,
    max_size=5,
)


def end_of(save: Path, link: str) -> str | None:
    """Where a link leads, below the folder; None: nothing is there."""
    try:
        return os.path.relpath((save / link).resolve(strict=True), save)
    except (OSError, RuntimeError):
        return None


@given(links=LINKS, outside=TARGETS)
def test_links_lead_in_a_copy_to_where_they_led(links: dict[str, str], outside: str) -> None:
    with tempfile.TemporaryDirectory() as name:
        base = Path(name).resolve()
        save, copy = base / "save", base / "copy" / "save"
        for folder in (save, copy):
            (folder / "d" / "e").mkdir(parents=True)
            (folder / "f").write_text("f")
            (folder / "d" / "f").write_text("f")

        def target_of(text: str) -> str:
            return text.format(save=save, base=base).replace("/distribute_save", str(save))

        written = {link: target_of(text) for link, text in links.items()}
        (base / "elsewhere").symlink_to(target_of(outside))
        for link, target in written.items():
            (save / link).symlink_to(target)
        judge = Links(os.fsencode(save))
        archived = {link: judge.archived(link.encode(), target.encode()) for link, target in written.items()}
        for link, text in archived.items():
            if text is not None:
                assert link_stays_inside(link, text.decode())
                (copy / link).symlink_to(text.decode())
        for link, text in archived.items():
            end = end_of(save, link)
            if end is not None and not end.startswith(".."):
                assert text is not None
                assert end_of(copy, link) == end
            elif end is not None:
                assert text is None
