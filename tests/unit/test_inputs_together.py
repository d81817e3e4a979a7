"""Many small files of different jobs share objects of the store."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from distribute.client.collect.slurm_inputs import inputs_in
from distribute.config.loading import LoadedBatch, load
from distribute.core.errors import InputError
from distribute.inputs import together
from distribute.inputs.sources import PackSource, as_source, read_source
from distribute_cli.main import app
from slurm_kit import WHERE

JOBS = 5


@pytest.fixture(autouse=True)
def few_are_many(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(together, "MANY_FILES", 3)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    for number in range(JOBS):
        Path(f"{number}.dat").write_text(f"content {number % 4}\n")
    Path("mesh").write_text("mesh")
    Path("empty").touch()


def loaded(**more: str) -> LoadedBatch:
    """A batch with a file for all jobs, and one for each, or as `more` says of a job."""
    files = {f"j{number}": more.get(f"j{number}", f"{number}.dat") for number in range(JOBS)}
    jobs = "".join(
        f"    - {{name: {name}, command: x, required_files: [{file}]}}\n" for name, file in files.items()
    )
    Path("jobs.yaml").write_text(
        "meta: {namespace: n, batch_name: b}\n"
        f"command:\n  initialize: {{required_files: [mesh]}}\n  jobs:\n{jobs}"
    )
    return load(Path("jobs.yaml"))


def test_they_share_an_object_equal_ones_once_and_each_is_where_its_batch_says() -> None:
    batch = loaded()
    files = [file for job in batch.spec.work.jobs for file in job.files]
    (pack,) = {file.pack for file in files}
    assert pack is not None
    content = read_source(as_source(batch.sources[pack.sha256]), pack.sha256)
    assert len(content) == 4 * len("content 0\n")
    for number, file in enumerate(files):
        part = content[file.offset or 0 :][: file.size_bytes]
        assert part == Path(f"{number}.dat").read_bytes()
        assert file.sha256 == hashlib.sha256(part).hexdigest()
    (mesh,) = batch.spec.files
    assert mesh.pack is None, "it is of all jobs"
    assert batch.sources.keys() == {mesh.sha256, pack.sha256}


def test_empty_and_large_files_are_objects_of_their_own() -> None:
    Path("large").write_bytes(bytes(1 << 20))
    batch = loaded(j0="empty", j1="large")
    alone = [job.files[0].pack is None for job in batch.spec.work.jobs]
    assert alone == [True, True, False, False, False]
    assert {file.stored.sha256 for job in batch.spec.work.jobs for file in job.files} < batch.sources.keys()


def test_a_few_are_sent_one_by_one() -> None:
    batch = loaded(**{f"j{number}": f"{number % 2}.dat" for number in range(JOBS)})
    assert [job.files[0].pack for job in batch.spec.work.jobs] == [None] * JOBS


def test_a_file_that_changes_before_it_is_sent_is_named() -> None:
    batch = loaded()
    Path("2.dat").write_text("another 2\n")
    (pack,) = (source for source in batch.sources.values() if isinstance(source, PackSource))
    with pytest.raises(InputError, match=r"2\.dat' was changed"):
        b"".join(pack.pieces(1 << 20))


def test_at_slurm_each_file_lies_by_itself_and_they_are_collected_as_their_object() -> None:
    batch = loaded()
    app(["slurm", "out", "jobs.yaml", *WHERE, "sweep"], standalone_mode=False, prog_name="distribute")
    assert {path.read_text() for path in Path("out/files").iterdir()} == {
        "mesh", *(f"content {number}\n" for number in range(4))
    }  # fmt: skip
    assert inputs_in(Path("out"), batch.spec).sources.keys() == batch.sources.keys()
