"""A script that somebody wrote for the Python package of the first `distribute`.

The tests run it, and mypy checks it, as it checks a person's own code.
"""

from pathlib import Path
from typing import assert_type

import distribute_compute_config as distribute

meta = distribute.metadata("lab", "cavity", ["gpu", "apptainer"], "@jane:example.org")

image = distribute.file("solver.sif", relative=True)
mesh = distribute.file("cases/mesh.h5", relative=True, alias="initial.h5")
mesh_here = distribute.file(Path("here.dat"))
initialize = distribute.initialize(image, [mesh, mesh_here], ["/solver/scratch"])
assert_type(mesh, distribute.File)

jobs = []
for reynolds in (100, 400):
    case = distribute.file(f"cases/re{reynolds}.json", True, "case.json")
    own = distribute.slurm(time="02:00:00") if reynolds == 400 else None
    jobs.append(distribute.job(f"re{reynolds}", [case], own))

slurm = distribute.slurm(output="out.txt", nodes=1, ntasks=4, mem_per_cpu="10M", time="00:30:00")
description = distribute.description(initialize, jobs)
config = distribute.apptainer_config(meta, description, slurm=slurm)
distribute.write_config_to_file(config, "distribute-jobs.yaml")


def wrong() -> None:
    """What is wrong is wrong to mypy, too. Nobody calls this."""
    distribute.job("a", [3])  # type: ignore[list-item]
    distribute.job("a", [], comand=["x"])  # type: ignore[call-overload]
    distribute.metadata("lab", "cavity")  # type: ignore[call-arg]
    distribute.python_config(meta, description)  # type: ignore[arg-type]
