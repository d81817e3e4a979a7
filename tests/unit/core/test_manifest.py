"""Paths and links in manifests: none may lead out of the job's folder."""

import base64
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distribute.core.files.manifest import (
    StoredFile,
    StoredFolder,
    StoredLink,
    build_output_name,
    check_path,
    entry_bytes,
    is_build_output_name,
    link_stays_inside,
)
from distribute.core.ids import MAX_AUTHOR_BYTES


@pytest.mark.parametrize(
    ("path", "target"),
    [
        ("link", "a"),
        ("link", "a/b"),
        ("d/link", "../a"),
        ("d/e/link", "../../a"),
        ("link", "."),
        ("d/link", ".."),
    ],
)
def test_links_that_stay_inside_are_accepted(path: str, target: str) -> None:
    assert link_stays_inside(path, target)


@pytest.mark.parametrize(
    ("path", "target"),
    [
        ("link", ".."),
        ("link", "/etc/passwd"),
        ("d/link", "../.."),
        ("d/link", "../../job2/a"),
        ("link", "a/../.."),
    ],
)
def test_links_that_lead_out_are_refused(path: str, target: str) -> None:
    assert not link_stays_inside(path, target)


def test_a_path_that_is_not_utf8_keeps_its_bytes() -> None:
    file = StoredFile(path="caf\ufffd", raw_path="Y2Fm6Q==", size_bytes=0, sha256="0" * 64)
    assert entry_bytes(file) == b"caf\xe9"
    assert entry_bytes(StoredFolder(path="café")) == "café".encode()
    assert entry_bytes(StoredLink(path="a", target="b")) == b"a"


@pytest.mark.parametrize(
    "path", ["", "/etc/passwd", "..", "../x", "a/../b", "a/..", "./a", "a//b", "a/", "a\0b", "x" * 4097]
)
def test_paths_that_are_not_relative_and_normalized_are_refused(path: str) -> None:
    raw_path = base64.b64encode(path.encode()).decode()
    for fields in ({"path": path}, {"path": "a", "raw_path": raw_path}):
        with pytest.raises(ValueError, match="path"):
            StoredFolder(**fields)
        with pytest.raises(ValueError, match="path"):
            StoredFile(**fields, size_bytes=0, sha256="0" * 64)


PARTS = st.sampled_from(
    ["", ".", "..", "...", ".a", "..a", "a.", "a", "\0", "a\0", "\n", "é", "日" * 500, "x" * 1500]
)


@given(st.lists(PARTS, min_size=1, max_size=5).map("/".join) | st.text(max_size=20))
def test_the_pattern_of_paths_takes_what_the_function_takes(path: str) -> None:
    def is_taken(take: Callable[[str], object]) -> bool:
        try:
            take(path)
        except ValueError:
            return False
        return True

    assert is_taken(lambda path: StoredFolder(path=path)) == is_taken(check_path)


def test_a_link_that_leaves_the_folder_is_refused() -> None:
    deep = "a/b/c"
    assert StoredLink(path=deep, target="../../x").target == "../../x"
    with pytest.raises(ValueError, match="leads out of the job's folder"):
        # What counts is the path it gets, not the one that is shown.
        StoredLink(path=deep, raw_path=base64.b64encode(b"\xff").decode(), target="../../x")


def test_a_raw_path_that_is_no_base64_is_refused() -> None:
    with pytest.raises(ValueError, match="is not base64"):
        StoredFolder(path="x", raw_path="not base64!")


@pytest.mark.parametrize(
    ("part", "is_right"),
    [("x" * 255, True), ("x" * 256, False), ("é" * 127, True), ("é" * 128, False), ("." * 255, True)],
)
@pytest.mark.parametrize("path", ["{}", "a/{}", "{}/b", "{}/{}"])
def test_no_part_of_a_path_is_longer_than_a_file_s_name(path: str, part: str, is_right: bool) -> None:
    entry = {"path": path.replace("{}", part)}
    if is_right:
        assert StoredFolder.model_validate(entry).path == entry["path"]
        return
    with pytest.raises(ValueError, match="a part of 256 bytes"):
        StoredFolder.model_validate(entry)


NODES = st.sampled_from(["ws1", "ws1-2", "2-ws1", "_2-ws1", "1", "ws1.txt"])


@given(st.lists(NODES, max_size=6, unique=True))
def test_the_names_of_builds_outputs_never_collide(nodes: list[str]) -> None:
    """Neither with each other nor with the folders of jobs, whatever these are called."""
    jobs: set[str] = set()
    for round_ in range(3):
        names = [build_output_name("b", node, jobs.__contains__) for node in nodes]
        assert len({*names, *jobs}) == len(names) + len(jobs)
        assert all(is_build_output_name(name, "b", node) for name, node in zip(names, nodes, strict=True))
        jobs.update(names[round_:])  # the folders of jobs that somebody called so


def test_no_other_name_passes_for_that_of_a_builds_output() -> None:
    for name in (
        "b_build_output-ws2.txt",
        "job1",
        "b_build_output_02-ws1.txt",
        "b_build_output_1-ws1.txt",
        "",
    ):
        assert not is_build_output_name(name, "b", "ws1")


@pytest.mark.parametrize("long", [1, 110, 128, 255])
def test_the_name_of_a_build_s_output_is_a_file_s(long: int) -> None:
    of_node = "n" * min(long, MAX_AUTHOR_BYTES)
    for batch, node in (("b" * long, of_node), ("é" * (long // 2 or 1), of_node)):
        name = build_output_name(batch, node)
        assert check_path(name) == name
        assert node in name
