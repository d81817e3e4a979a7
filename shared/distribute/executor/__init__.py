"""`Executor`: functions of a Python program, run on the nodes of a cluster.

A call becomes a job of an ordinary batch, in these steps:

1. `submit` and `map` pickle the function and its arguments in the caller's thread, by cloudpickle
   (`pickling`), and hand the call to the executor's own thread (`courier`), which has an event loop and a
   connection.
2. Calls that come in one burst become one batch. If there are many calls of an unknown function, the first
   ones are a job each; what these show says how many of the others share a job (`probe`, `grouping`).
3. The pickles are packed into input files (`pickling.Packer`): small ones share a file, a large one has its
   own, so that it is stored once, by content. Beside them, each job gets `run_calls.py` and cloudpickle: a
   node needs nothing but the Python of this program's minor version, which is a capability.
4. On the node, `run_calls` does the calls, and leaves a file with their results. As soon as the job's
   `finished` is in the log, and accepted, the thread fetches this file, and the futures get what is in it
   (`batch_run`, `job_results`, `outcomes`).
5. A batch whose jobs all did their work is deleted.

docs/python-executor.md says what people can rely on.
"""

from distribute.executor.pool import Executor

__all__ = ["Executor"]
