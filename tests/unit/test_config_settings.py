"""Reading the settings files, and finding the cluster."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from distribute.config.settings.cluster_record import ClusterRecord
from distribute.config.settings.folders import embedded_cluster_file, home_expanded, state_dir
from distribute.config.settings.settings import load_client_settings, load_node_settings, load_server_settings
from distribute.config.settings.where import NodeFile, ServerAddress, resolve_server
from distribute.core.errors import InputError, Unreachable
from distribute.system import process_identity
from distribute_cli.local.services import archiver_options, node_options, scheduler_options


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    return {"HOME": str(tmp_path / "home"), "XDG_STATE_HOME": str(tmp_path / "state")}


def write_client_settings(environ: dict[str, str], text: str) -> Path:
    path = Path(environ["HOME"], ".config", "distribute", "client.yaml")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def write_embedded(environ: dict[str, str], pid: int, server: str = "nats://127.0.0.1:4321") -> Path:
    path = embedded_cluster_file(environ)
    identity = process_identity(pid) or "a process that has ended"
    ClusterRecord(server, pid, identity, str(path.parent), ("ws1",), "up").write(path)
    return path


def test_option_environment_settings_and_up_name_the_cluster_in_this_order(environ: dict[str, str]) -> None:
    write_embedded(environ, os.getpid())
    assert resolve_server(environ=environ) == ServerAddress("nats://127.0.0.1:4321", None, "`distribute up`")
    path = write_client_settings(environ, "server: nats://settings:1\n")
    assert resolve_server(environ=environ) == ServerAddress("nats://settings:1", None, str(path))
    environ["DISTRIBUTE_SERVER"] = "nats://environment:2"
    assert resolve_server(environ=environ) == ServerAddress("nats://environment:2", None, "DISTRIBUTE_SERVER")
    assert resolve_server("nats://option:3", environ=environ) == ServerAddress(
        "nats://option:3", None, "--server"
    )
    assert resolve_server(ip="10.0.0.1", port=5, environ=environ) == ServerAddress(
        "nats://10.0.0.1:5", None, "--ip"
    )


def test_the_settings_of_a_node_come_behind_options_only(environ: dict[str, str], tmp_path: Path) -> None:
    node = NodeFile(tmp_path / "node.yaml", "nats://node:1")
    environ["DISTRIBUTE_SERVER"] = "nats://environment:2"
    source = str(node.path)
    assert resolve_server(environ=environ, node=node) == ServerAddress("nats://node:1", None, source)
    assert resolve_server("option", environ=environ, node=node).source == "--server"
    assert resolve_server(ip="option", environ=environ, node=node).source == "--ip"
    silent = node._replace(server=None)
    assert resolve_server(environ=environ, node=silent).source == "DISTRIBUTE_SERVER"
    with pytest.raises(InputError, match=r"node\.yaml: 'http://x' is not the address of a cluster"):
        resolve_server(environ=environ, node=node._replace(server="http://x"))
    del environ["DISTRIBUTE_SERVER"]
    with pytest.raises(Unreachable, match=r"put 'server: nats://HOST:4222' in .*/node\.yaml; or"):
        resolve_server(environ=environ, node=silent)


def test_credentials_are_looked_up_in_the_same_order(environ: dict[str, str], tmp_path: Path) -> None:
    path = write_client_settings(environ, "server: head\ncreds: of-settings.creds\n")
    of_settings = path.parent / "of-settings.creds"
    for creds in (of_settings, tmp_path / "of-environment.creds", tmp_path / "of-option.creds"):
        creds.write_text("")
    assert resolve_server(environ=environ).creds == of_settings
    environ["DISTRIBUTE_CREDS"] = str(tmp_path / "of-environment.creds")
    assert resolve_server(environ=environ).creds == tmp_path / "of-environment.creds"
    assert (
        resolve_server(creds=tmp_path / "of-option.creds", environ=environ).creds
        == tmp_path / "of-option.creds"
    )
    with pytest.raises(InputError) as caught:
        resolve_server(creds=tmp_path / "gone.creds", environ=environ)
    assert str(caught.value) == (
        f"no credentials can be read at {tmp_path}/gone.creds; write the path of the file you were given"
    )


@pytest.mark.parametrize(
    ("written", "url"),
    [
        ("head", "nats://head:4222"),
        ("head:5", "nats://head:5"),
        ("tls://head.example.org", "tls://head.example.org:4222"),
        ("nats://head/", "nats://head:4222"),
        ("[::1]:5", "nats://[::1]:5"),
        ("NATS://Head:5", "nats://head:5"),
        ("Tls://head:", "tls://head:4222"),
        ("Müller:5", "nats://müller:5"),
        ("nats://u:p@head:5", "nats://u:p@head:5"),
        ("a:1, b ,tls://c", "nats://a:1,nats://b:4222,tls://c:4222"),
    ],
)
def test_a_missing_scheme_or_port_is_added(written: str, url: str, environ: dict[str, str]) -> None:
    assert resolve_server(written, environ=environ).server == url


def test_ip_and_port_work_as_in_the_original(environ: dict[str, str]) -> None:
    both = "nats://head:4222,nats://head:8952"  # whichever the head has
    assert resolve_server(ip="head", environ=environ).server == both
    assert resolve_server(ip="::1", port=7, environ=environ).server == "nats://[::1]:7"
    for server, ip, port in ((None, None, 7), ("nats://x", "y", None), ("nats://x", None, 7)):
        with pytest.raises(InputError) as caught:
            resolve_server(server, ip=ip, port=port, environ=environ)
        assert str(caught.value) == (
            "--port needs --ip, and --server excludes both; write --server nats://HOST:PORT"
        )


@pytest.mark.parametrize(
    "address",
    [
        "http://head",
        "ws://head",
        "nats://",
        "head:port",
        "head:99999",
        "head:0",
        "a b",
        "nats://[::1",
        "a,,b",
        "nats://head/path",
        "nats://head?x=y",
        "nats://head#x",
        "nats:head",
        "head\x07",
        "x" * 64,
        "a..b",
        "1..2.3",
    ],
)
def test_a_malformed_address_is_refused(address: str, environ: dict[str, str]) -> None:
    environ["DISTRIBUTE_SERVER"] = address
    with pytest.raises(InputError) as caught:
        resolve_server(environ=environ)
    assert str(caught.value).startswith("DISTRIBUTE_SERVER: ")
    assert " is not " in str(caught.value)
    assert str(caught.value).endswith("; write nats://HOST:PORT")


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("head:99999", "a port is a number from 1 to 65535"),
        ("head:port", "a port is a number from 1 to 65535"),
        ("nats://[::1", "no host can have this name"),
        ("nats://[head]:1", "no host can have this name"),
    ],
)
def test_what_is_wrong_with_an_address_is_told_in_our_words(
    address: str, why: str, environ: dict[str, str]
) -> None:
    with pytest.raises(InputError) as caught:
        resolve_server(address, environ=environ)
    assert str(caught.value) == (
        f"--server: {address!r} is not the address of a cluster: {why}; write nats://HOST:PORT"
    )


def test_an_address_of_numbers_needs_no_codec_for_names() -> None:
    """Each import delays every command, and stays in the memory of every node."""
    code = (
        "import sys; from distribute.config.settings.server_url import server_urls;"
        "print(server_urls('127.0.0.1'), 'encodings.idna' in sys.modules)"
    )
    printed = subprocess.run(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, check=True
    ).stdout
    assert printed == "('nats://127.0.0.1:4222',) False\n"


def test_without_a_cluster_the_message_says_what_to_do(environ: dict[str, str]) -> None:
    with pytest.raises(Unreachable) as caught:
        resolve_server(environ=environ)
    assert str(caught.value) == (
        "no cluster is set up for you. Ask your admin for its address and put 'server: nats://HOST:4222' in "
        f"{environ['HOME']}/.config/distribute/client.yaml; or start one here: distribute up"
    )


def test_a_cluster_of_up_that_has_ended_is_reported(environ: dict[str, str]) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    path = write_embedded(environ, ended.pid)
    with pytest.raises(Unreachable) as caught:
        resolve_server(environ=environ)
    assert str(caught.value) == (
        f"the cluster that ran here (process {ended.pid}) is gone; start it again with `distribute up`"
    )
    for damaged in ('{"server": "nats://127.0.0.1:4321"}', "not JSON", "[1]"):
        path.write_text(damaged)
        with pytest.raises(Unreachable) as caught:
            resolve_server(environ=environ)
        assert str(caught.value).startswith(f"{path} does not say where the cluster is (")
        assert str(caught.value).endswith("); run `distribute up` again")
        assert "\n" not in str(caught.value)


def test_folders_follow_the_xdg_rules(tmp_path: Path) -> None:
    home = {"HOME": str(tmp_path)}
    assert state_dir(home) == tmp_path / ".local/state/distribute"
    assert state_dir(home | {"XDG_STATE_HOME": ""}) == tmp_path / ".local/state/distribute"
    assert state_dir(home | {"XDG_STATE_HOME": "relative"}) == tmp_path / ".local/state/distribute"
    assert state_dir(home | {"XDG_STATE_HOME": "/x"}) == Path("/x/distribute")
    assert embedded_cluster_file(home) == tmp_path / ".local/state/distribute/up.json"


@pytest.mark.parametrize("home", [{"HOME": "relative"}, {"HOME": "~"}])
def test_a_user_without_a_home_has_no_settings(home: dict[str, str]) -> None:
    assert state_dir(home) == Path("/nonexistent/.local/state/distribute")
    assert state_dir(home | {"XDG_STATE_HOME": "/x"}) == Path("/x/distribute")


def test_a_tilde_is_a_home_folder_as_in_a_shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert home_expanded(Path("~/results")) == tmp_path / "results"
    assert home_expanded(Path("~")) == tmp_path
    assert home_expanded(Path("~root")) == Path(os.path.expanduser("~root"))  # noqa: PTH111
    assert home_expanded(Path("a/~")) == Path("a/~")
    with pytest.raises(
        InputError, match=r"'~nobody-here/x': there is no user 'nobody-here'; write .*\./~nobody"
    ):
        home_expanded(Path("~nobody-here/x"))
    (tmp_path / "~backup.yaml").touch()
    assert home_expanded(Path("~backup.yaml")) == Path("~backup.yaml")


def test_all_settings_of_a_node_are_read(tmp_path: Path, environ: dict[str, str]) -> None:
    path = tmp_path / "node.yaml"
    path.write_text(
        "name: ws07\nserver: nats://head\ncreds: ws07.creds\ncapabilities: [gpu, python3]\n"
        "cpus: 8\ncount: threads\nmemory: 16G\ngpus: 1\nwork_dir: scratch\ngrace: 1m\nnice: 5\nionice: none\n"
        "max_cache: 1.5T\nkeep_free: 5G\nmax_processes: 100\n"
        "build_copies: copy\n"
        "max_pause: 1h30m\nmax_unseen: 2d\nsuperseded_keep: 12h\npause_group: users\nrun_as: nobody\n"
        "pause_when_active: 15m\nlend: 18:00-08:00, sat, sun\nload_limit: 1.5\nvacate_after: 1h\n"
        "env: {A: 1.0, B: a=b}\npath: [/opt/a, /opt/b]\n"
    )
    settings = load_node_settings(path, environ)
    assert settings.model_dump() == {
        "name": "ws07",
        "server": "nats://head",
        "creds": tmp_path / "ws07.creds",
        "capabilities": ("gpu", "python3"),
        "cpus": 8,
        "counts": "threads",
        "memory_bytes": 16 * 1024**3,
        "gpus": 1,
        "work_dir": tmp_path / "scratch",
        "grace_s": 60.0,
        "nice": 5,
        "ionice": "none",
        "pause_when_active_s": 900.0,
        "lend": "18:00-08:00, sat, sun",
        "load_limit": 1.5,
        "vacate_after_s": 3600.0,
        "max_cache_bytes": 3 * 1024**4 // 2,
        "keep_free_bytes": 5 * 1024**3,
        "max_processes": 100,
        "build_copies": "copy",
        "max_pause_s": 5400.0,
        "max_unseen_s": 172800.0,
        "superseded_keep_s": 43200.0,
        "pause_group": "users",
        "run_as": "nobody",
        "env": {"A": "1.0", "B": "a=b"},
        "path": ("/opt/a", "/opt/b"),
    }
    options = node_options(settings, tmp_path)
    assert options[options.index("--grace-s") + 1] == "60.0"
    assert [option for option in options if option.startswith(("--env", "--path"))] == [
        "--env=A=1.0",
        "--env=B=a=b",
        "--path=/opt/a",
        "--path=/opt/b",
    ]


def problems_of_node(path: Path, environ: dict[str, str], text: str) -> tuple[str, ...]:
    """What is said about wrong settings of a node."""
    path.write_text(text)
    with pytest.raises(InputError) as caught:
        load_node_settings(path, environ)
    return caught.value.problems


def test_wrong_variables_and_folders_of_a_node_are_reported(tmp_path: Path, environ: dict[str, str]) -> None:
    path = tmp_path / "node.yaml"
    problems = problems_of_node(path, environ, "env: {DISTRIBUTE_NODE: w}\npath: [/a:/b, bin]\n")
    variable, two, relative = problems
    assert "distribute itself sets 'DISTRIBUTE_NODE'" in variable
    assert two.endswith("'/a:/b' can't be in a PATH; write an absolute path without ':'")
    assert relative.endswith("'bin' can't be in a PATH; write an absolute path without ':'")


def test_a_wrong_choice_is_told_with_all_that_there_are(tmp_path: Path, environ: dict[str, str]) -> None:
    path = tmp_path / "node.yaml"
    problems = problems_of_node(path, environ, "count: thread\nionice: best\nbuild_copies: yes\n")
    assert problems == (
        f"{path}:1:8: count: 'thread' is not allowed here; write count: cores or threads",
        f"{path}:2:9: ionice: 'best' is not allowed here; write ionice: idle or none",
        f"{path}:3:15: build_copies: 'yes' is not allowed here; write build_copies: overlay, bind or copy",
    )


def test_a_node_without_settings_has_the_name_of_its_computer(environ: dict[str, str]) -> None:
    settings = load_node_settings(environ=environ)
    assert settings.name == socket.gethostname()
    assert (settings.cpus, settings.memory_bytes, settings.gpus, settings.work_dir) == (
        None,
        None,
        None,
        None,
    )


def test_wrong_terms_of_an_owner_are_reported(tmp_path: Path, environ: dict[str, str]) -> None:
    path = tmp_path / "node.yaml"
    problems = problems_of_node(path, environ, "pause_when_active: no\nlend: [sat]\nload_limit: low\n")
    durations = "write 90s, 45m, 2h or 1h30m10s; a plain number means seconds"
    assert problems == (
        f"{path}:1:20: pause_when_active: 'no' is not a duration; {durations}",
        f'{path}:2:7: lend takes a text, not a list; write lend: "18:00-08:00, sat, sun"',
        f"{path}:3:13: load_limit takes a number, not 'low'; write load_limit: 2",
    )
    problems = problems_of_node(path, environ, "lend: 18-8\nload_limit: nan\npause_when_active: 0\n")
    hours, _load, active = problems
    assert hours == (
        f"{path}:1:7: lend: '18-8' names no hours; "
        "write 18:00-08:00, sat, mon-fri or mon-fri 19:00-07:30, with commas between several"
    )
    assert active == f"{path}:3:20: pause_when_active: 0 is out of range; write more than 0"


def test_problems_of_settings_are_reported_like_those_of_a_jobs_file(
    tmp_path: Path, environ: dict[str, str]
) -> None:
    path = tmp_path / "node.yaml"
    problems = problems_of_node(
        path, environ, "nam: ws07\nmemory: lots\ncapabilities: gpu\nnice: 20\nnice: 1\n"
    )
    assert problems == (
        f"{path}:1:1: the top level has no key 'nam'; write 'name'",
        f"{path}:2:9: memory: 'lots' is not a size; write 8G, 512M or 10K; a plain number means bytes",
        f"{path}:3:15: capabilities takes a list, not 'gpu'; write capabilities: ['gpu']",
        f"{path}:4:7: nice: 20 is out of range; write 19 or less",
        f"{path}:5:1: the key 'nice' is on line 4 already; remove one of the two",
    )
    with pytest.raises(InputError) as caught:
        load_client_settings(tmp_path / "gone.yaml", environ)
    assert (
        str(caught.value)
        == f"{tmp_path}/gone.yaml: there is no such file; write the path of an existing file"
    )


def test_the_settings_of_a_head_become_options_of_its_services(
    tmp_path: Path, environ: dict[str, str]
) -> None:
    path = tmp_path / "server.yaml"
    path.write_text("inputs_keep: 60h\nlost_after: 2m\n")
    settings = load_server_settings(path, environ)
    assert archiver_options(settings) == ["--inputs-keep-s", "216000.0"]
    assert scheduler_options(settings) == ["--lost-after-s", "120.0"]
    assert archiver_options(load_server_settings(environ=environ)) == []


def test_a_head_that_would_remove_inputs_too_soon_is_refused(tmp_path: Path, environ: dict[str, str]) -> None:
    path = tmp_path / "server.yaml"
    path.write_text("inputs_keep: 47h\n")
    with pytest.raises(InputError) as caught:
        load_server_settings(path, environ)
    [problem] = caught.value.problems
    assert problem == (
        f"{path}:1:14: inputs_keep: a person may take that long to send the inputs of a batch; "
        "write 2d or more"
    )
