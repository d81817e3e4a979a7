"""The examples that `distribute template` writes: complete, and explained line by line."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from distribute.config.jobs_file import Kind

_META = """\
meta:
  namespace: jane                # whose batch it is: a folder of the archive
  batch_name: {batch_name:<16}   # must be new in the namespace
  matrix: null                   # "@jane:example.org", with the quotes; kept, not used yet
  capabilities: [{capability}]   # what a computer must have; [] for any computer
  # What follows may be left out.
  priority: 0                    # higher goes first, -100 to 100
  resources:                     # a job's share of a computer; without this it gets a whole one
    cpus: 4
    memory: 2G
    gpus: 0
  timeout: 2h                    # for one job: 90s, 45m, 2h, 1h30m10s
  retries: 1                     # more attempts for a job that fails

# Paths are relative to the folder of this file. A file is a path, or {{path: …, alias: …}},
# where the alias is the name under which the jobs see it in ./input.
"""

_PYTHON = """
python:
  initialize:
    build_file: build.py         # run once on a computer, before its first job: python3 build.py
    required_files:              # in ./input, for the build and for every job
      - path: data/mesh.dat
        alias: mesh.dat
  env:                           # for every job; a job may have its own, too
    SOLVER_LOG: brief
  jobs:
    # Run as `python3 job.py CORES`, where the build left off. What a job leaves
    # in ./distribute_save is archived, with all it printed.
    - name: re100
      file: run.py
      required_files:            # in ./input, for this job alone
        - path: data/re100.json
          alias: parameters.json
    - name: re400
      file: run.py
      required_files:
        - path: data/re400.json
          alias: parameters.json
      timeout: 6h                # in place of the one above, as may be resources and retries
"""

_COMMAND = """
command:
  initialize:
    required_files: [solver.c, data/mesh.dat]     # in ./input, for the build and for every job
    build: cc -O2 -o solver input/solver.c -lm    # for sh, once on a computer, before its first job
  env:                           # for every job; a job may have its own, too
    SOLVER_LOG: brief
  jobs:
    # Run where the build left off. What a job leaves in ./distribute_save is archived,
    # with all it printed.
    - name: re100
      command: [./solver, --re, 100, --mesh, input/mesh.dat]
    - name: re400
      command: ./solver --re 400 --mesh input/mesh.dat > distribute_save/re400.dat    # one text is for sh
      required_files: [data/re400.json]           # in ./input, for this job alone
      timeout: 6h                # in place of the one above, as may be resources and retries
"""

_APPTAINER = """
apptainer:
  initialize:
    sif: solver.sif              # an image with an app `distribute`, run with the number of cores
    required_files:              # in /input, for every job
      - path: data/mesh.dat
        alias: mesh.dat
    required_mounts:             # folders in the container that must be writable: fresh ones for every job
      - /solver/cases
  env:                           # for every job; a job may have its own, too
    SOLVER_LOG: brief
  jobs:
    # What a job leaves in /distribute_save is archived, with all it printed.
    - name: re100
      required_files:            # in /input, for this job alone
        - path: data/re100.json
          alias: parameters.json
    - name: re400
      required_files:
        - path: data/re400.json
          alias: parameters.json
      timeout: 6h                # in place of the one above, as may be resources and retries
"""

TEMPLATES: Mapping[Kind, str] = MappingProxyType(
    {
        "python": _META.format(batch_name="reynolds-sweep", capability="python3") + _PYTHON,
        "command": _META.format(batch_name="reynolds-sweep", capability="cc") + _COMMAND,
        "apptainer": _META.format(batch_name="reynolds-sweep", capability="apptainer") + _APPTAINER,
    }
)
"""A filled, valid `distribute-jobs.yaml` of each kind."""
