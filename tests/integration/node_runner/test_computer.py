"""What jobs get from the node-runner's environment."""

from __future__ import annotations

from distribute_services.node_runner.host.environment import base_environment


def test_jobs_do_not_see_the_runners_secrets() -> None:
    own = {
        "PATH": "/bin",
        "LC_ALL": "C",
        "DISTRIBUTE_CREDS": "/home/jane/.creds",
        "SSH_AUTH_SOCK": "/run/agent",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "DISPLAY": ":0",
    }
    assert base_environment(own) == {"PATH": "/bin", "LC_ALL": "C"}
