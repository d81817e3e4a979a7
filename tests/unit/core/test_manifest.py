"""Which links a manifest may hold: none that leads out of the job's folder."""

import pytest

from distribute.core.manifest import (
    StoredFile,
    StoredFolder,
    StoredLink,
    entry_bytes,
    link_stays_inside,
)


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
def test_links_that_stay(path: str, target: str) -> None:
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
def test_links_that_leave(path: str, target: str) -> None:
    assert not link_stays_inside(path, target)


def test_a_path_that_is_no_text_keeps_its_bytes() -> None:
    file = StoredFile(path="caf\ufffd", raw_path="Y2Fm6Q==", size_bytes=0, sha256="0" * 64)
    assert entry_bytes(file) == b"caf\xe9"
    assert entry_bytes(StoredFolder(path="café")) == "café".encode()
    assert entry_bytes(StoredLink(path="a", target="b")) == b"a"


def test_a_raw_path_that_is_no_base64_is_refused() -> None:
    with pytest.raises(ValueError, match=r"Only base64 data|padding"):
        entry_bytes(StoredFolder(path="x", raw_path="not base64!"))
