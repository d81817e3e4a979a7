"""What a verb logs, and where: `--debug`, and the first `distribute`'s `--show-logs` and `--save-log`."""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TextIO

if TYPE_CHECKING:
    from distribute_cli.output.form import Output

LOG_FILE = Path("output.log")
"""Where `--save-log` saves, as in the first `distribute`."""


class LogOptions(NamedTuple):
    """The options before the verb. `show`: log to the terminal; `save`: log to `LOG_FILE`."""

    save: bool = False
    show: bool = False

    def say_where_services_log(self, output: Output, folder: Path) -> None:
        """If one of them is given, say it of services that log into files of a folder anyway."""
        given = {"--save-log": self.save, "--show-logs": self.show}
        if words := " ".join(option for option, is_given in given.items() if is_given):
            output.warn(f"{words}: the services' logs are always saved, in {folder}")


NO_LOGS = LogOptions()


class Stderr(logging.StreamHandler[TextIO]):
    """Logs to what `sys.stderr` is at the moment: a progress bar replaces it, to keep lines off its own."""

    def emit(self, record: logging.LogRecord) -> None:
        self.stream = sys.stderr
        super().emit(record)


def begin_log(options: LogOptions, *, debug: bool, serves: bool) -> None:
    """Log from now on. `serves`: the verb runs services, whose own logs say more than this process's."""
    shows = debug or (options.show and not serves)
    saves = options.save and not serves
    on_terminal = Stderr()
    on_terminal.setLevel(logging.DEBUG if shows else logging.WARNING)
    form = "%(levelname)s %(name)s: %(message)s" if shows else "distribute: %(message)s"
    on_terminal.setFormatter(logging.Formatter(form))
    if not debug:
        on_terminal.addFilter(lambda record: record.exc_info is None)  # a traceback is for --debug
    level = logging.DEBUG if shows or saves else logging.WARNING
    logging.basicConfig(level=level, handlers=[on_terminal])
    if saves:
        _save()


def _save() -> None:
    """Also log to `LOG_FILE`. If it can't be written, that is no reason not to do what was asked for."""
    from distribute.client.log_lines import OneLine
    from distribute.core.os_words import why

    try:
        in_file = logging.FileHandler(LOG_FILE, errors="backslashreplace")
    except OSError as error:
        logging.getLogger(__name__).warning(
            "--save-log: ./%s can't be written: %s; nothing is saved", LOG_FILE, why(error)
        )
        return
    in_file.setFormatter(OneLine(debug=True))
    logging.getLogger().addHandler(in_file)
