"""Old stored events can be read, and keep their meaning."""

import zlib
from pathlib import Path

import orjson
import pytest

from distribute.codec import decode, encode
from distribute.core.log.events import KINDS, Event, type_of
from distribute.submissions import MARK, head_with, inflate_block, split_frames

DATA = Path(__file__).parent / "data"
FILES = sorted(DATA.glob("v*/*.json"))
VERSIONS = {type_of(kind): kind.model_fields["v"].default for kind in KINDS}
OF_TODAY = [path for path in FILES if path.parent.name == f"v{VERSIONS[path.stem.partition('-')[0]]}"]
"""The samples of each type's present version."""


def name_of(path: Path) -> str:
    return f"{path.parent.name}/{path.stem}"


def body_of(data: bytes) -> bytes:
    """The JSON of a stored event in any of the stored forms."""
    if data[:1] == MARK:
        head, blocks = split_frames(data)
        return head_with(zlib.decompress(head), [inflate_block(block) for block in blocks])
    return zlib.decompress(data) if data[:1] == b"\x78" else data


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_a_sample_can_be_read(path: Path) -> None:
    data = path.read_bytes()
    event = decode(data)
    assert event.type == path.stem.partition("-")[0]
    assert decode(encode(event)) == event


@pytest.mark.parametrize("path", OF_TODAY, ids=name_of)
def test_a_current_sample_is_written_unchanged(path: Path) -> None:
    data = path.read_bytes()
    assert body_of(encode(decode(data))) == body_of(data)


@pytest.mark.parametrize("tag", VERSIONS)
def test_every_type_has_a_sample_of_every_version(tag: str) -> None:
    """A missing one is written by `python -m tests.compat`."""
    for version in range(1, VERSIONS[tag] + 1):
        assert (DATA / f"v{version}" / f"{tag}.json").exists()


@pytest.mark.parametrize("kind", KINDS, ids=list(VERSIONS))
def test_the_samples_fill_every_field(kind: type[Event]) -> None:
    """Otherwise a field could change its form unnoticed. Later fields have samples of their own."""
    tag = type_of(kind)
    samples = [path for path in OF_TODAY if path.stem.partition("-")[0] == tag]
    stored = [orjson.loads(body_of(path.read_bytes())) for path in samples]
    assert set().union(*stored) == kind.model_fields.keys()


def test_each_form_of_storage_has_a_sample() -> None:
    """Logs contain all of them: plain JSON, compressed, and in blocks."""
    first_bytes = {path.stem: path.read_bytes()[:1] for path in FILES}
    assert first_bytes["submitted"] == b"{"
    assert first_bytes["submitted-compressed"] == b"\x78"
    assert first_bytes["submitted-blocks"] == MARK
