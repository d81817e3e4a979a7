"""The command line of the first `distribute`'s head, as it stands in units of systemd: what it means here."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from distribute.config.settings.folders import default_cluster_dir
from distribute.config.settings.server_url import DEFAULT_PORT, ORIGINAL_PORT
from distribute_cli.output.form import Output

LOOPBACK = "127.0.0.1"
EVERY_ADDRESS = "0.0.0.0"
NODES_FILE = Path("distribute-nodes.yaml")
"""The nodes file that the first `distribute` reads if its command line names none."""
FOLDER = "distribute-server"
"""The head's data folder, in the folder in which the first `distribute` had the results."""


class OriginalOptions(NamedTuple):
    """The options of `server` that only the first `distribute` has. It demanded the first two."""

    save_path: Path | None
    temp_dir: Path | None
    clean_output: bool

    @property
    def is_original(self) -> bool:
        """Was the command line written for the first `distribute`?"""
        return self.save_path is not None or self.temp_dir is not None

    def nodes_file(self, output: Output) -> Path | None:
        """The nodes file that an old command line means without naming it. Says that it is read."""
        if not self.is_original or not NODES_FILE.exists():
            return None
        output.warn(f"./{NODES_FILE} is read, as if --nodes-file named it")
        return NODES_FILE


class Head(NamedTuple):
    """Where a head has its data, and listens."""

    folder: Path
    host: str
    port: int

    @property
    def logs(self) -> Path:
        """The folder of the services' logs."""
        return self.folder / "logs"

    @property
    def options(self) -> dict[str, object]:
        """The options, but for the folder, that say the same in our words. None: not needed."""
        return {
            "--host": None if self.host == LOOPBACK else self.host,
            "--port": None if self.port == DEFAULT_PORT else self.port,
        }


def head_as_written(
    output: Output, directory: Path | None, host: str | None, port: int | None, options: OriginalOptions
) -> Head:
    """The head that a command line means. What has no meaning here is said, in one line each."""
    folder = (directory or _in_save_path(options) or default_cluster_dir("server")).absolute()
    if options.save_path is not None:
        output.warn(
            f"--save-path: results and all else that the head keeps are in {folder}; `distribute pull` "
            "fetches results"
        )
    if options.temp_dir is not None:
        output.warn("--temp-dir is not needed: inputs are kept with the results")
    if options.clean_output:
        output.warn(
            "--clean-output deletes nothing here: `distribute delete BATCH` deletes a batch's results"
        )
    if not options.is_original:
        return Head(folder, host or LOOPBACK, port or DEFAULT_PORT)
    if host is None or port is None:
        output.warn(
            f"as the first `distribute`, it listens at {host or 'all addresses'}, port "
            f"{port or ORIGINAL_PORT}: --host and --port change that"
        )
    return Head(folder, host or EVERY_ADDRESS, port or ORIGINAL_PORT)


def _in_save_path(options: OriginalOptions) -> Path | None:
    return options.save_path / FOLDER if options.save_path is not None else None
