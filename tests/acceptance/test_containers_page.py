"""docs/containers.md, step by step: an image made from Docker's archive, and the page's batch in it."""

from __future__ import annotations

import hashlib
import io
import json
import re
import shutil
import tarfile
from pathlib import Path

from acceptance.pages import ROOT
from acceptance.person import Person
from container_kit import build_image, need_apptainer

PAGE = (ROOT / "docs" / "containers.md").read_text()
SOLVER = """\
#!/bin/sh
echo "$@"
cat /input/mesh.dat /input/re.txt > /distribute_save/solution
echo $SOLVER_MODE > /scratch/mode && ls -d /scratch
"""


def docker_archive(path: Path, solver: str) -> None:
    """What `docker save` writes of an image with busybox and the program `solver`."""
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as files:
        files.add(shutil.which("busybox") or "", "bin/busybox")
        for name in ("sh", "cat", "ls", "echo"):
            link = tarfile.TarInfo(f"bin/{name}")
            link.type, link.linkname = tarfile.SYMTYPE, "busybox"
            files.addfile(link)
        for name in ("dev", "etc", "proc", "root", "sys", "tmp", "var", "var/tmp"):
            folder = tarfile.TarInfo(name)
            folder.type, folder.mode = tarfile.DIRTYPE, 0o755
            files.addfile(folder)
        _add(files, "bin/solver", solver.encode())
        _add(files, "etc/passwd", b"root:x:0:0:root:/root:/bin/sh\n")
        _add(files, "etc/group", b"root:x:0:\n")
    content = layer.getvalue()
    digest = hashlib.sha256(content).hexdigest()
    config = json.dumps(
        {
            "architecture": "amd64",
            "os": "linux",
            "config": {"Env": ["PATH=/bin"]},
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}"]},
            "history": [{"created": "2026-01-01T00:00:00Z"}],
        }
    ).encode()
    name = f"{hashlib.sha256(config).hexdigest()}.json"
    image = {"Config": name, "RepoTags": ["solver:latest"], "Layers": [f"{digest}/layer.tar"]}
    with tarfile.open(path, "w") as archive:
        _add(archive, name, config)
        _add(archive, f"{digest}/layer.tar", content)
        _add(archive, "manifest.json", json.dumps([image]).encode())


def _add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    file = tarfile.TarInfo(name)
    file.size, file.mode = len(content), 0o755
    archive.addfile(file, io.BytesIO(content))


def test_the_batch_of_the_page_runs_in_an_image_made_from_dockers(jane: Person) -> None:
    need_apptainer()
    docker_archive(jane.home / "solver.tar", SOLVER)
    (definition,) = re.findall(r"^```\n(Bootstrap: docker-archive\n.*?)^```$", PAGE, re.M | re.S)
    text = definition.replace("solver.tar", str(jane.home / "solver.tar"))
    shutil.move(build_image(jane.home, text), jane.home / "solver.sif")
    batch = re.findall(r"^```yaml\n(meta: .*?)^```$", PAGE, re.M | re.S)[0]
    (jane.home / "distribute-jobs.yaml").write_text(batch)
    for name in ("mesh.dat", "re100.txt", "re400.txt"):
        (jane.home / name).write_text(f"{name}\n")
    said = jane.runs("run")
    assert "lab/solve completed: 2 of 2 jobs succeeded" in said.stdout
    results = jane.home / "distribute-run" / "solve"
    for job in ("re100", "re400"):
        assert (results / job / "solution").read_text() == f"mesh.dat\n{job}.txt\n"
        printed = (results / job / "stdout.txt").read_text()
        assert re.search(
            r"^--threads \d+ --mesh /input/mesh\.dat --output /distribute_save\n/scratch$", printed, re.M
        )
