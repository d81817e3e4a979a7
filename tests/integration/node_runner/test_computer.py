"""What jobs get from the node-runner's environment."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from distribute_services.node_runner.host.environment import base_environment, chosen, own_programs, without


def test_jobs_do_not_see_the_runners_secrets() -> None:
    own = {
        "PATH": "/bin",
        "LC_ALL": "de_DE.UTF-8",
        "DISTRIBUTE_CREDS": "/home/jane/.creds",
        "SSH_AUTH_SOCK": "/run/agent",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "DISPLAY": ":0",
    }
    assert base_environment(own) == {"PATH": "/bin", "LC_ALL": "de_DE.UTF-8"}


def test_jobs_do_not_get_the_runners_python() -> None:
    own = own_programs()
    assert own is not None, "the tests run in a virtual environment"
    runner = {
        "PATH": f"{own}:/usr/bin:/bin",
        "LANG": "C.UTF-8",
        "VIRTUAL_ENV": sys.prefix,
        "CONDA_PREFIX": sys.prefix,
        "PYTHONPATH": "/opt/lib",
        "PYTHONHOME": sys.prefix,
        "PYTHONUSERBASE": "/home/jane/.local",
    }
    assert base_environment(runner, own) == {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"}


def test_a_node_chooses_variables_and_folders_for_its_jobs() -> None:
    base = {"PATH": "/bin", "LANG": "C.UTF-8"}
    found = chosen(base, {"LICENSE": "27000@head", "LANG": "de_DE.UTF-8"}, ["/opt/a", "/opt/b"])
    assert found == {"PATH": "/opt/a:/opt/b:/bin", "LANG": "de_DE.UTF-8", "LICENSE": "27000@head"}
    assert chosen({}, {"PATH": "/sbin"}, ["/opt/a"]) == {"PATH": "/opt/a:/sbin"}
    assert chosen({}, {}, ["/opt/a"]) == {"PATH": f"/opt/a:{os.defpath}"}
    assert chosen(base, {}, []) == base


def test_a_folder_is_left_out_of_a_path_under_all_its_names(tmp_path: Path) -> None:
    (tmp_path / "own").mkdir()
    (tmp_path / "link").symlink_to("own")
    entries = ["", "/usr/bin", f"{tmp_path}/link", f"{tmp_path}/own/", f"{tmp_path}/x/../own", "bin"]
    assert without(":".join(entries), f"{tmp_path}/own") == ":/usr/bin:bin"
    assert without(f"{tmp_path}/own", f"{tmp_path}/own") == os.defpath


@pytest.mark.parametrize(
    ("runner", "added"),
    [
        ({}, {"LC_CTYPE": "C.UTF-8"}),
        ({"LANG": "C"}, {"LC_CTYPE": "C.UTF-8"}),
        ({"LANG": "de_DE.UTF-8", "LC_CTYPE": "POSIX"}, {"LC_CTYPE": "C.UTF-8"}),
        ({"LANG": "de_DE.UTF-8", "LC_ALL": "C"}, {"LC_ALL": "C.UTF-8"}),
        ({"LANG": "de_DE.UTF-8"}, {}),
        ({"LC_ALL": "de_DE@euro"}, {}),
    ],
)
def test_text_is_utf8_where_the_runner_has_no_locale(runner: dict[str, str], added: dict[str, str]) -> None:
    assert base_environment(runner, knows=lambda name: True) == runner | added
    assert base_environment(runner, knows=lambda name: False) == runner


def test_a_job_of_a_service_without_locale_prints_any_text() -> None:
    charset = subprocess.run(
        ["locale", "charmap"],
        env=base_environment({"PATH": os.defpath}),
        capture_output=True,
        text=True,
        check=True,
    )
    assert charset.stdout == "UTF-8\n"
