"""What jobs get from the node-runner's environment."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from distribute.core.errors import InputError
from distribute.core.spec.recipe import Share, recipe_of
from distribute.core.spec.setup_script import Login
from distribute.core.spec.specs import BatchSpec, CommandJob, CommandWork
from distribute_services.node_runner.host.environment import (
    NodeEnvironment,
    base_environment,
    chosen,
    own_programs,
    without,
)
from distribute_services.node_runner.host.opening import Standby
from distribute_services.node_runner.options import Options


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


def login(job_env: dict[str, str], env: dict[str, str], path: Sequence[str] = ()) -> Login:
    """What a login shell leaves as it is, in a job on a node with this `env` and `path`."""
    job = CommandJob(name="a", command="true", env=job_env)
    recipe = recipe_of(
        BatchSpec(namespace="lab", batch="x", setup=("true",), work=CommandWork(jobs=(job,))), job
    )
    node = NodeEnvironment.of({"PATH": "/bin", "LANG": "C.UTF-8", "HOME": "/root"}, env, path)
    return node.login(recipe, recipe.environment(node.variables, Share(2), folder="/w", node="ws1"))


def test_profiles_change_what_the_node_inherited_and_nothing_that_was_chosen() -> None:
    found = login({"MODE": "job"}, {"LICENSE": "27000@head"}, ["/opt/a"])
    assert (found.path, found.hidden) == (["/opt/a"], own_programs())
    assert not found.variables.keys() & {"PATH", "LANG", "HOME"}
    chosen_for_it = {"MODE": "job", "LICENSE": "27000@head", "OMP_NUM_THREADS": "2", "DISTRIBUTE_JOB": "a"}
    assert chosen_for_it.items() <= found.variables.items()


def test_a_path_that_was_chosen_as_a_whole_is_no_matter_of_profiles() -> None:
    assert login({}, {"PATH": "/sbin"}, ["/opt/a"]).variables["PATH"] == "/opt/a:/sbin"
    assert login({"PATH": "bin:/bin"}, {}, ["/opt/a"]).variables["PATH"] == "bin:/bin"


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


async def test_a_node_that_is_to_keep_more_free_than_its_disk_has_does_not_start(tmp_path: Path) -> None:
    options = Options(name="ws1", work_dir=tmp_path / "node", keep_free_bytes=1 << 60)
    with pytest.raises(InputError, match=r"keep_free: 1024P is too much: the disk of .*/node has .* in all"):
        async with Standby(options):
            pass
    async with Standby(Options(name="ws1", work_dir=tmp_path / "node")):
        pass  # the folder is free again
