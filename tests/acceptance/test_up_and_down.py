"""Clusters of `up` and `server` on one computer: where verbs go, and what ends which."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest

from acceptance.person import Person, runs, until
from ports_kit import free_port


@pytest.fixture
def person(tmp_path: Path) -> Iterator[Person]:
    with Person(tmp_path) as person:
        yield person


def test_up_warns_where_verbs_still_go(person: Person) -> None:
    (person.home / "config/distribute").mkdir(parents=True)
    settings = person.home / "config/distribute/client.yaml"
    settings.write_text("server: nats://jane:secret@head.invalid:4222\n")
    up = person.runs("up", "--nodes", "0", "--detach", "--quiet")
    server = json.loads((person.home / "state/distribute/up.json").read_text())["server"]
    export = f"distribute: for this cluster, type: export DISTRIBUTE_SERVER={server}\n"
    elsewhere = "nats://head.invalid:4222 (from ~/config/distribute/client.yaml)"
    assert up.stderr == f"distribute: verbs still go to {elsewhere}\n{export}"
    assert "there is no such host" in person.runs("status", code=3).stderr
    person.sets(DISTRIBUTE_SERVER=server)
    assert person.asks("status")["cluster"] == {"server": server, "source": "DISTRIBUTE_SERVER"}
    second = person.runs("up", "--nodes", "0", "--detach", "--quiet", "--dir", "second")
    assert second.stderr.startswith(f"distribute: verbs still go to {server} (from DISTRIBUTE_SERVER)\n")
    person.runs("down", "--dir", "second")
    person.runs("down")
    settings.write_text("server: [\n")
    up = person.runs("up", "--nodes", "0", "--detach", "--quiet")
    assert up.stderr.startswith(f"distribute: verbs don't work until this is mended: {settings}:")
    assert "export" not in up.stderr
    person.runs("down")


def test_a_head_says_what_nodes_and_people_type(person: Person) -> None:
    port = free_port()
    head = person.starts("server", "--dir", "head", "--host", "0.0.0.0", "--port", str(port), "--json")
    assert head.stdout is not None
    url = json.loads(head.stdout.readline())["url"]
    assert url == f"nats://{urlsplit(url).hostname}:{port}"
    assert urlsplit(url).hostname not in {"0.0.0.0", "localhost", "127.0.0.1"}
    assert person.asks("status")["cluster"]["server"] == f"nats://127.0.0.1:{port}"
    assert person.asks("status", "--server", f"nats://localhost:{port}")["batches"] == []
    head.send_signal(signal.SIGTERM)
    _, err = head.communicate(timeout=120)
    assert (head.returncode, "there is no login yet" in err) == (0, True)
    head = person.starts("server", "--dir", "head", "--host", "0.0.0.0", "--port", str(port))
    assert head.stdout is not None
    assert head.stdout.readline().startswith(f"the cluster is ready at {url}; its data is in ")
    head.send_signal(signal.SIGTERM)
    _, err = head.communicate(timeout=120)
    assert f"each node types:   distribute client --server {url}\n" in err
    assert f"each person types: export DISTRIBUTE_SERVER={url}\n" in err
    assert f"`distribute server --dir {person.home}/head --host 0.0.0.0 --port {port}` continues\n" in err


def test_a_node_says_where_it_looks_for_its_head(person: Person) -> None:
    refused = person.runs("client", code=3).stderr
    assert f"put 'server: nats://HOST:4222' in {person.home}/config/distribute/node.yaml; or" in refused
    (person.home / "config/distribute").mkdir(parents=True)
    (person.home / "config/distribute/node.yaml").write_text("server: head.invalid\n")
    node = person.starts("client")
    assert node.stderr is not None
    where = "cluster: nats://head.invalid:4222 (from ~/config/distribute/node.yaml)\n"
    assert node.stderr.readline() == where
    lines = iter(node.stderr.readline, "")
    warning = next(line for line in lines if "this node runs as root" not in line)
    assert "there is no such host" in warning
    node.send_signal(signal.SIGTERM)
    node.communicate(timeout=120)
    assert node.returncode == 0


def test_down_asks_which_of_two_clusters(person: Person) -> None:
    assert "`distribute down` ends it" in person.runs("up", "--nodes", "0", "--detach").stderr
    second = person.runs("up", "--nodes", "0", "--detach", "--dir", "a b")
    assert f"`distribute down --dir '{person.home}/a b'` ends it" in second.stderr
    default = person.home / "state/distribute/cluster"
    again = person.runs("up", "--dir", "a b", code=4).stderr
    assert f"end it with `distribute down --dir '{person.home}/a b'`" in again
    refused = person.runs("down", code=4).stderr
    assert f"1  {default} (nats://127.0.0.1:" in refused
    assert f"2  {person.home}/a b (nats://127.0.0.1:" in refused
    assert f"say which: `distribute down --dir {default}` or `distribute down --dir '" in refused
    asked = person.starts("down", stdin=subprocess.PIPE)
    out, err = asked.communicate("1\n", timeout=120)
    assert (asked.returncode, out) == (0, f"the cluster in {default} has ended\n")
    assert "`distribute up --nodes 0 --detach` continues" in err
    assert person.asks("nodes")["nodes"] == [], "verbs go to the one that is left"
    ended = person.runs("down")
    assert ended.stdout == f"the cluster in {person.home}/a b has ended\n"
    assert f"`distribute up --dir '{person.home}/a b' --nodes 0 --detach` continues" in ended.stderr


def test_up_in_the_foreground_ends_with_ctrl_c(person: Person) -> None:
    up = person.starts("up", "--dir", "cluster")
    assert up.stdout is not None
    assert up.stdout.readline().startswith("the cluster is ready at ")
    children = psutil.Process(up.pid).children()
    assert person.asks("nodes")["nodes"][0]["state"] == "idle"
    up.send_signal(signal.SIGINT)
    _, err = up.communicate(timeout=120)
    assert up.returncode == 0
    assert "the cluster has ended" in err
    assert [child for child in children if runs(child)] == []


def test_down_lets_jobs_run_on_and_the_next_up_takes_them_up(person: Person) -> None:
    person.runs("up", "--detach")
    wait = "echo $DISTRIBUTE_ATTEMPT >> ~/ran; while [ ! -e ~/go ]; do sleep 0.1; done; echo told"
    person.runs("add", person.writes("b", {"long": wait, "short": "echo x >> ~/ran; exit 3"}))
    ran = person.home / "ran"
    until(lambda: ran.exists() and sorted(ran.read_text().split()) == ["1", "x"])
    ended = person.runs("down", "--keep-jobs")
    assert "`distribute up --detach` continues" in ended.stderr
    (person.home / "go").touch()
    until(lambda: list((person.home / "state/distribute/cluster/nodes").rglob("exit.json")))
    person.runs("up", "--detach")
    person.runs("wait", "jane/b", code=1)
    assert sorted(ran.read_text().split()) == ["1", "x"], "each has run once"
    assert person.runs("logs", "jane/b/long").stdout == "told\n"
    person.runs("down")
