"""Runs once on each computer, before its first job there.

The jobs find what it leaves in this folder: compile here, or make a virtual environment.
"""

import platform
import shutil

shutil.copy("input/pendulum.py", "pendulum.py")  # now `import pendulum` works in the jobs
print(f"ready on {platform.node()}, with Python {platform.python_version()}")
