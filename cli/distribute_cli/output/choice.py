"""Choose the form of an answer by the options."""

from __future__ import annotations

from distribute_cli.output.form import Output
from distribute_cli.output.plain_output import JsonOutput, QuietOutput
from distribute_cli.output.table_output import TableOutput


def make_output(*, as_json: bool, quiet: bool) -> Output:
    """The output that the options ask for. JSON wins over quiet."""
    if as_json:
        return JsonOutput()
    return QuietOutput() if quiet else TableOutput()
