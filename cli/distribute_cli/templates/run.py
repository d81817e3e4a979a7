"""One job. Its parameters are in its environment, its results go to ./distribute_save."""

import os
import sys
from pathlib import Path

from pendulum import PERIOD_OF_SMALL_SWINGS_S, swing

cores = int(sys.argv[1])  # how many cores this job has
degrees, step_s = float(os.environ["ANGLE"]), float(os.environ["STEP_S"])

motion = list(swing(degrees, step_s))
lines = [f"{time_s:.3f},{angle:.4f}" for time_s, angle in motion]
Path("distribute_save/motion.csv").write_text("\n".join(["time_s,degrees", *lines]) + "\n")

period_s = motion[-1][0]
print(f"released at {degrees:g} degrees, it is back after {period_s:.3f} s (cores: {cores});")
print(f"small swings take {PERIOD_OF_SMALL_SWINGS_S:.3f} s")
