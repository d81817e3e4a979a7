"""What OpenMPI must be told, so that jobs on one node don't meet on a core.

OpenMPI binds its processes to cores, from the first core of the computer on, whatever cores its `mpirun` may
run on. So two jobs of one node would share the first core. MPICH binds nothing unless it is asked to. Tried
with OpenMPI 4.1.4 and 5.0.11, and MPICH 4.0.2.
"""

from __future__ import annotations

import os
from collections.abc import Collection

from distribute_services.node_runner.host.topology import Counted

BINDS_NOTHING = {
    "OMPI_MCA_hwloc_base_binding_policy": "none",  # up to version 4
    "PRTE_MCA_hwloc_default_binding_policy": "none",  # from version 5 on
}
THREADS_ARE_SLOTS = {"OMPI_MCA_hwloc_base_use_hwthreads_as_cpus": "1"}


ALL_CPUS = os.cpu_count() or 1
"""The hardware threads of this computer."""


def mpi_settings(cpus: Collection[int], counts: Counted, of_cpus: int = ALL_CPUS) -> dict[str, str]:
    """Environment variables for a job that runs on some of the computer's threads.

    Its processes stay on the job's cores, where the kernel spreads them. A job that has the whole computer is
    bound as OpenMPI likes best.
    """
    found = dict(BINDS_NOTHING) if len(cpus) < of_cpus else {}
    return found | THREADS_ARE_SLOTS if counts == "threads" else found
