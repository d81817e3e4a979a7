"""The form of a service's log, and its bounds."""

from __future__ import annotations

import logging
import subprocess
import sys
from pathlib import Path

from distribute.client.log_lines import OneLine

WRITES = """
import logging, os, sys
from pathlib import Path
from distribute_services import logs
logs.MAX_BYTES = 2000
logs.begin(Path(sys.argv[1]), debug=False)
log = logging.getLogger("some.module")
for number in range(1000):
    log.info("job %d started", number)
os.write(2, b"Fatal Python error\\n")
print("and a print", flush=True)
"""


def test_a_log_file_is_bounded_and_has_the_last_lines_and_what_python_prints(tmp_path: Path) -> None:
    path = tmp_path / "node-ws07.log"
    done = subprocess.run([sys.executable, "-c", WRITES, str(path)], capture_output=True, check=True)
    assert (done.stdout, done.stderr) == (b"", b"")
    files = sorted(tmp_path.iterdir())
    assert [file.name for file in files] == ["node-ws07.log", *(f"node-ws07.log.{n}" for n in (1, 2, 3))]
    assert all(file.stat().st_size <= 2100 for file in files)
    *_, last, crash, printed = path.read_text().splitlines()
    assert last.endswith("INFO job 999 started")
    assert (crash, printed) == ("Fatal Python error", "and a print")


def test_a_log_that_can_not_be_written_is_an_error(tmp_path: Path) -> None:
    options = ["--server", "nats://127.0.0.1:1", "--log-file", str(tmp_path / "no" / "log")]
    command = [sys.executable, "-m", "distribute_services", "archiver", *options]
    done = subprocess.run(command, capture_output=True, check=False, text=True)
    assert done.returncode == 2
    assert done.stderr.endswith("no/log: can't log there: there is no such file or folder\n")


def test_a_name_with_a_newline_can_not_forge_a_line() -> None:
    record = logging.LogRecord(
        "name", logging.INFO, "path", 1, "%s started", ("job\n2026 ERROR all is lost\x1b[2J",), None
    )
    line = OneLine().format(record)
    assert line.endswith(" INFO job\\n2026 ERROR all is lost\\x1b[2J started")


def test_a_traceback_keeps_its_lines() -> None:
    try:
        int("a cause")
    except ValueError:
        record = logging.LogRecord("name", logging.ERROR, "path", 1, "it failed", (), sys.exc_info())
    text = OneLine().format(record)
    assert " ERROR it failed\nTraceback" in text
    assert text.endswith("literal for int() with base 10: 'a cause'")
