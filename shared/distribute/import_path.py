"""Keeps the current folder off the path of imports.

A program of ours does this before it imports anything else. So this module imports only what Python itself
has loaded at its start.
"""

import os
import sys


def leave_out_current_folder() -> None:
    """Remove the empty entries of PYTHONPATH, for this process and those that it starts.

    They mean the current folder, which is a person's and may hold a `random.py`. Hardly anybody wants them:
    `PYTHONPATH=$PYTHONPATH:/opt/lib` makes one where the variable was not set.
    """
    entries = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    wanted = [entry for entry in entries if entry]
    if len(wanted) == len(entries):
        return
    if wanted:
        os.environ["PYTHONPATH"] = os.pathsep.join(wanted)
    else:
        os.environ.pop("PYTHONPATH", None)
    try:
        here = os.getcwd()  # noqa: PTH109 - pathlib may not be loaded yet
    except FileNotFoundError:
        here = ""
    # They come first, behind the folder of the script. Later entries are Python's own.
    first = len(entries) + 1
    sys.path[:first] = [entry for entry in sys.path[:first] if entry not in {"", here}]
