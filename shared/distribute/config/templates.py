"""The examples that `distribute template` prints: complete, with an explanation of each line."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from distribute.config.jobs_file import Kind

_META = """\
meta:
  namespace: jane                # whose batch it is; becomes a folder of the archive
  batch_name: {batch_name:<16}   # must be new in the namespace
  matrix: null                   # "@jane:example.org", with the quotes; not used yet
  capabilities: [{capability}]   # what a computer must have; [] for any computer
  # The rest of meta is optional.
  priority: 0                    # higher goes first, -100 to 100
  resources:                     # a job's share of a computer; without this, a whole one
    cpus: 4
    memory: 2G
    gpus: 0
  timeout: 2h                    # for one job: 90s, 45m, 2h, 1h30m10s
  retries: 1                     # how often a failed job is tried again

# Paths are relative to the folder of this file. A file is a path, or {{path: …, alias: …}};
# the jobs see it in ./input under its alias.
"""

_PYTHON = """
python:
  initialize:
    build_file: build.py         # runs once on each computer, before its first job: python3 build.py
    required_files:              # in ./input, for the build and for every job
      - path: data/mesh.dat
        alias: mesh.dat
  env:                           # for every job; a job can add its own
    SOLVER_LOG: brief
  jobs:
    # Runs as `python3 job.py CORES` in a copy of the folder that the build left. What the
    # job leaves in ./distribute_save is archived, with everything that it prints.
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
      timeout: 6h                # overrides the one in meta; resources and retries can, too
"""

_COMMAND = """
command:
  initialize:
    required_files: [solver.c, data/mesh.dat]     # in ./input, for the build and for every job
    build: cc -O2 -o solver input/solver.c -lm    # for sh; runs once on each computer, before its first job
  env:                           # for every job; a job can add its own
    SOLVER_LOG: brief
  jobs:
    # Runs in a copy of the folder that the build left. What the job leaves in
    # ./distribute_save is archived, with everything that it prints.
    - name: re100
      command: [./solver, --re, 100, --mesh, input/mesh.dat]
    - name: re400
      command: ./solver --re 400 --mesh input/mesh.dat > distribute_save/re400.dat    # one text: for sh
      required_files: [data/re400.json]           # in ./input, for this job alone
      timeout: 6h                # overrides the one in meta; resources and retries can, too
"""

_APPTAINER = """
apptainer:
  initialize:
    sif: solver.sif              # an image with an app `distribute`, which gets the number of cores
    required_files:              # in /input, for every job
      - path: data/mesh.dat
        alias: mesh.dat
    required_mounts:             # folders in the container that jobs write to; each job gets fresh ones
      - /solver/cases
  env:                           # for every job; a job can add its own
    SOLVER_LOG: brief
  jobs:
    # What a job leaves in /distribute_save is archived, with everything that it prints.
    - name: re100
      required_files:            # in /input, for this job alone
        - path: data/re100.json
          alias: parameters.json
    - name: re400
      required_files:
        - path: data/re400.json
          alias: parameters.json
      timeout: 6h                # overrides the one in meta; resources and retries can, too
"""

TEMPLATES: Mapping[Kind, str] = MappingProxyType(
    {
        "python": _META.format(batch_name="reynolds-sweep", capability="python3") + _PYTHON,
        "command": _META.format(batch_name="reynolds-sweep", capability="cc") + _COMMAND,
        "apptainer": _META.format(batch_name="reynolds-sweep", capability="apptainer") + _APPTAINER,
    }
)
"""A complete, valid `distribute-jobs.yaml` of each kind."""
