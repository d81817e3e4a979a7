"""One job. Its angle is its argument, the step is in its environment, its results go to ./distribute_save."""

import os
import sys
from pathlib import Path

from pendulum import PERIOD_OF_SMALL_SWINGS_S, swing

degrees, step_s = float(sys.argv[1]), float(os.environ["STEP_S"])
cores = int(os.environ["DISTRIBUTE_CPUS"])  # how many cores this job has

motion = list(swing(degrees, step_s))
lines = [f"{time_s:.3f},{angle:.4f}" for time_s, angle in motion]
Path("distribute_save/motion.csv").write_text("\n".join(["time_s,degrees", *lines]) + "\n")

period_s = motion[-1][0]
print(f"released at {degrees:g} degrees, it is back after {period_s:.3f} s (cores: {cores});")
print(f"small swings take {PERIOD_OF_SMALL_SWINGS_S:.3f} s")
