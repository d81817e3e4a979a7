"""Programs that import distribute get all of nats-py when they use it, and not before."""

from __future__ import annotations

import subprocess
import sys

import nats.js.api
import pytest

from distribute.nats.client.importing import Header


def printed(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout


def test_the_headers_of_the_connection_are_those_of_nats_py() -> None:
    assert {header.name: header.value for header in Header}.items() <= {
        header.name: header.value for header in nats.js.api.Header
    }.items()


def test_what_only_others_use_is_not_imported() -> None:
    code = "import sys, distribute.nats.cluster; print({'aiohttp', 'nats.js.api'} & set(sys.modules))"
    assert printed(code) == "set()\n"


@pytest.mark.parametrize(
    "use",
    [
        "from nats.js.api import StreamConfig as found",
        "import nats.js.api; found = nats.js.api.StreamConfig",
        "import nats; found = nats.js.api.StreamConfig",
        "from nats.js import api; found = api.StreamConfig",
    ],
)
@pytest.mark.parametrize("before", [True, False])
def test_who_uses_the_jetstream_of_nats_py_gets_it(use: str, before: bool) -> None:
    both = (use, "import distribute.nats.cluster")
    check = (
        "import sys; print(found is sys.modules['nats.js.api'].StreamConfig, nats.NATS().jetstream() is None)"
    )
    code = "; ".join([*(both if before else both[::-1]), "import nats", check])
    assert printed(code) == "True False\n"
