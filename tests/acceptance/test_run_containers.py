"""`distribute run` of a batch in containers does as a cluster does: the same files, and the same ends."""

from __future__ import annotations

import json
from typing import Any

import yaml

from acceptance.person import Person
from acceptance.run_kit import LOOP, tree
from container_kit import busybox_image, need_apptainer

APP = """\
    cat /input/* > /distribute_save/inputs
    echo "$1 cores, $NAME, $DISTRIBUTE_JOB, attempt $DISTRIBUTE_ATTEMPT"; ls -A /scratch "$HOME" /tmp
    echo kept > /scratch/file; echo gone > "$HOME/file"
    . /input/own
"""
OWN = {
    "odd": "cd /distribute_save; echo run > x.sh; chmod 750 x.sh; ln -s x.sh link; mkdir -p empty a/b;"
    " ln -s /distribute_save/x.sh absolute; head -c 9000000 /dev/zero > large; echo deep > a/b/deep",
    "fails": "echo half > /distribute_save/half; echo wrong >&2; exit 3",
    "killed": "echo before; kill -9 $$",
    "slow": f"echo begun; {LOOP}",
    "again": "echo $DISTRIBUTE_ATTEMPT > /distribute_save/attempt; [ $DISTRIBUTE_ATTEMPT = 2 ]",
    "quiet": "rm /distribute_save/inputs",
}
SAME = ("job", "state", "attempt", "exit_code", "signal", "reason")


def batch(jane: Person) -> str:
    for name, text in OWN.items():
        (jane.home / f"{name}.sh").write_text(text)
    (jane.home / "mesh").write_text("of the batch\n")
    extra: dict[str, dict[str, Any]] = {
        "slow": {"timeout": "1s", "grace": "0s"},
        "again": {"retries": 1},
        "odd": {"env": {"NAME": "its own"}},
    }
    jobs = [
        {"name": name, "required_files": [{"path": f"{name}.sh", "alias": "own"}], **extra.get(name, {})}
        for name in OWN
    ]
    document = {
        "meta": {"namespace": "jane", "batch_name": "boxes", "resources": {"cpus": 1}},
        "apptainer": {
            "initialize": {
                "sif": busybox_image(jane.home, APP).name,
                "required_files": ["mesh"],
                "required_mounts": ["/scratch"],
            },
            "env": {"NAME": "it's $HOME"},
            "jobs": jobs,
        },
    }
    (jane.home / "boxes.yaml").write_text(yaml.safe_dump(document))
    return "boxes.yaml"


def ends(document: dict[str, Any]) -> list[dict[str, Any]]:
    return sorted(({key: job[key] for key in SAME} for job in document["job_list"]), key=str)


def without_slow(found: dict[str, Any]) -> dict[str, Any]:
    """Without what `slow` left: on a busy computer its time may be over before its container has begun."""
    return {name: content for name, content in found.items() if not name.startswith("slow/")}


def test_a_batch_in_containers_leaves_the_same_and_ends_alike(jane: Person) -> None:
    need_apptainer()
    file = batch(jane)
    here = json.loads(jane.runs("run", file, "--save-dir", "here", "--json", code=1).stdout)
    jane.runs("up", "--nodes", "1", "--detach")
    jane.runs("add", file, "--wait", code=1)
    there = jane.asks("status", "jane/boxes")
    jane.runs("pull", file, "--save-dir", "there")
    jane.runs("down")
    assert ends(here) == ends(there)
    assert {job["job"]: job["state"] for job in here["job_list"]} == {
        "odd": "succeeded", "fails": "failed", "killed": "failed", "slow": "failed", "again": "succeeded",
        "quiet": "succeeded",
    }  # fmt: skip
    left, expected = (without_slow(tree(jane.home / side / "boxes")) for side in ("here", "there"))
    assert left == expected
    assert {
        "odd/link",
        "odd/absolute",
        "odd/empty",
        "odd/large",
        "fails/half",
        "again/attempt",
    } <= left.keys()
    assert b"1 cores, its own, odd, attempt 1\n" in left["odd/stdout.txt"][1]
