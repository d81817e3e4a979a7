"""The records of clusters on this computer: which run, where verbs go, and which of them `down` ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from distribute.config.settings.cluster_record import ClusterRecord, running_clusters
from distribute.config.settings.where import resolve_server
from distribute.core.errors import DistributeError, Refused
from distribute.system import process_identity
from distribute_cli.local import cluster_record
from distribute_cli.local.cluster_record import down_command, start_command
from distribute_cli.local.ending import chosen, cluster_in, clusters_of_up, end

SAYS_PID_AND_STAYS = "import os, signal; print(os.getpid(), flush=True); signal.pause()"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.delenv("DISTRIBUTE_SERVER", raising=False)
    return tmp_path / "distribute"


@contextmanager
def process() -> Iterator[subprocess.Popen[str]]:
    """A process of this user that runs."""
    with subprocess.Popen(
        [sys.executable, "-c", SAYS_PID_AND_STAYS], stdout=subprocess.PIPE, text=True
    ) as running:
        assert running.stdout is not None
        running.stdout.readline()
        try:
            yield running
        finally:
            running.kill()


@contextmanager
def cluster(home: Path, name: str, verb: str = "up") -> Iterator[ClusterRecord]:
    """The record of a cluster that another process runs, beside that of the default one."""
    with process() as running:
        identity = process_identity(running.pid)
        assert identity is not None
        folder = home / name
        record = ClusterRecord(f"nats://{name}:1", running.pid, identity, str(folder), (), verb)
        record.write(folder / "up.json")
        record.write(home / "clusters" / os.uname().nodename / f"{running.pid}.json")
        yield record


def test_a_cluster_has_a_record_while_it_runs(home: Path) -> None:
    folder = home / "a"
    with cluster_record.recorded("nats://127.0.0.1:1", folder, ["ws1"], warn=pytest.fail) as record:
        assert (
            cluster_record.running(home / "up.json") == cluster_record.running(folder / "up.json") == record
        )
        assert running_clusters() == [record]
    assert [path for path in home.rglob("*") if path.is_file()] == []
    assert running_clusters() == []


def test_records_of_clusters_that_were_killed_are_removed(home: Path) -> None:
    with cluster(home, "killed") as killed, cluster(home, "runs") as other:
        os.kill(killed.pid, signal.SIGKILL)
        os.waitid(os.P_PID, killed.pid, os.WEXITED | os.WNOWAIT)
        with cluster_record.recorded("nats://127.0.0.1:1", home / "own", [], warn=pytest.fail) as own:
            assert {path.stem for path in (home / "clusters").rglob("*.json")} == {
                str(own.pid), str(other.pid)
            }  # fmt: skip
            assert running_clusters() == [own, other]


def test_verbs_go_to_the_first_cluster_that_runs(home: Path) -> None:
    with cluster(home, "first") as first:
        first.write(home / "up.json")
        with cluster(home, "second", "server") as second:
            assert running_clusters() == [first, second]
            source = f"`distribute up` in {home}/first"
            assert resolve_server() == ("nats://first:1", None, source), "with two, it says which"
            with cluster_record.recorded("nats://127.0.0.1:3", home / "own", [], warn=pytest.fail) as own:
                assert running_clusters() == [first, own, second], "this process was started first"
                assert cluster_record.running(home / "up.json") == first
    with cluster(home, "second", "server") as second:
        assert running_clusters() == [second]
        assert resolve_server() == ("nats://second:1", None, "`distribute server`")


def test_clusters_that_were_started_in_one_tick_of_the_clock_have_an_order(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ClusterRecord, "started_ticks", property(lambda record: 1))
    with cluster(home, "a") as first, cluster(home, "b") as second, cluster(home, "c") as third:
        assert running_clusters() == sorted((first, second, third), key=lambda record: record.pid)


def test_down_ends_only_what_up_began(home: Path) -> None:
    with pytest.raises(Refused, match=r"^no cluster runs here; `distribute up` starts one$"):
        clusters_of_up()
    with cluster(home, "head", "server") as head:
        with pytest.raises(Refused) as refused:
            clusters_of_up()
        assert str(refused.value).startswith(
            "no cluster runs here that `distribute up` began: the cluster in "
        )
        assert str(refused.value).endswith(f"end it in its own terminal, or by `kill {head.pid}`")
        with pytest.raises(Refused, match="was started by `distribute server`"):
            cluster_in(home / "head")
        with cluster(home, "mine") as mine:
            assert clusters_of_up() == [mine]
            assert cluster_in(home / "mine") == mine


def test_down_ends_the_cluster_that_a_person_chooses(home: Path) -> None:
    with cluster(home, "a b") as first, cluster(home, "c") as second:
        records = clusters_of_up()
        assert records == [first, second]
        assert chosen(records, "2") == second
        for answer in ("", "0", "3", "c", "²"):
            with pytest.raises(Refused) as refused:
                chosen(records, answer)
            assert str(refused.value) == (
                "nothing was ended: answer with a number, or say which: "
                f"`distribute down --dir '{home}/a b'` or `distribute down --dir {home}/c`"
            )


def test_commands_name_the_folder_where_it_is_needed(home: Path) -> None:
    default = home / "cluster"
    assert down_command(default) == "distribute down"
    assert start_command("up", default, "--nodes", "2", "--capability", "a b") == (
        "distribute up --nodes 2 --capability 'a b'"
    )
    assert start_command("up", home / "x y") == f"distribute up --dir '{home}/x y'"
    assert start_command("server", home / "server") == "distribute server"
    with cluster(home, "another"):
        assert down_command(default) == f"distribute down --dir {default}"
    assert down_command(home / "another") == f"distribute down --dir {home}/another"


async def test_a_cluster_is_ended_by_its_own_process(home: Path) -> None:
    with process() as running:
        identity = process_identity(running.pid)
        assert identity is not None
        await end(ClusterRecord("nats://127.0.0.1:1", running.pid, identity, str(home), (), "up"), print)
        assert running.wait() == -signal.SIGTERM


def test_a_later_process_with_the_same_pid_is_left_alone(home: Path) -> None:
    with process() as bystander:
        with cluster_record.recorded("nats://127.0.0.1:1", home / "a", [], warn=pytest.fail) as record:
            pass
        record._replace(pid=bystander.pid).write(home / "a/up.json")
        with pytest.raises(
            Refused, match=f"no cluster runs in {home}/a; `distribute up --dir {home}/a` starts"
        ):
            cluster_in(home / "a")


@pytest.mark.parametrize("damaged", ["{", "[]", '{"server": "nats://127.0.0.1:1", "pid": 1}'])
def test_a_damaged_record_is_reported_and_replaced(home: Path, damaged: str) -> None:
    folder = home / "a"
    folder.mkdir(parents=True)
    for place in (home, folder):
        (place / "up.json").write_text(damaged)
    with pytest.raises(DistributeError, match=r"up\.json does not say which cluster runs \(.*; `dis"):
        cluster_in(folder)
    with cluster_record.recorded("nats://127.0.0.1:1", folder, [], warn=pytest.fail) as record:
        assert cluster_record.running(home / "up.json") == record == cluster_in(folder)
    assert not (home / "up.json").exists()


def test_a_cluster_runs_without_a_home_for_its_notes(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As for a system's user, whose home is not there: only the record in the cluster's folder is needed."""
    monkeypatch.setenv("XDG_STATE_HOME", "/proc/nonexistent")
    told: list[str] = []
    with cluster_record.recorded("nats://127.0.0.1:1", tmp_path / "a", [], warn=told.append) as record:
        assert cluster_in(tmp_path / "a") == record
    why = "there is no such file or folder"
    assert told == [f"no note of this cluster can be kept in /proc/nonexistent/distribute: {why}"]
    assert not (tmp_path / "a/up.json").exists()


def test_without_a_place_for_its_own_record_no_cluster_runs(home: Path, tmp_path: Path) -> None:
    with (
        pytest.raises(DistributeError, match=r"/up\.json can't be written: there is no such file or folder"),
        cluster_record.recorded("nats://127.0.0.1:1", Path("/proc/nonexistent"), [], warn=pytest.fail),
    ):
        pass
