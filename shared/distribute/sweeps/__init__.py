"""Sweeps: many jobs from few lines. Points, and the names, texts and files that templates make of them.

Pure: it reads no file and no clock, and its random values come from the seed that it is given.
"""

from __future__ import annotations

from distribute.sweeps.errors import SweepError
from distribute.sweeps.names import default_name, named, numbered
from distribute.sweeps.points import MAX_POINTS, Axis, Point, Sweep, point_text
from distribute.sweeps.sampling import Choice, Distribution, Integers, LogUniform, Sample, Uniform
from distribute.sweeps.templates import NUMBER, TextTemplate
from distribute.sweeps.values import Scalar, Spaced, Steps, plain, written

__all__ = [
    "MAX_POINTS",
    "NUMBER",
    "Axis",
    "Choice",
    "Distribution",
    "Integers",
    "LogUniform",
    "Point",
    "Sample",
    "Scalar",
    "Spaced",
    "Steps",
    "Sweep",
    "SweepError",
    "TextTemplate",
    "Uniform",
    "default_name",
    "named",
    "numbered",
    "plain",
    "point_text",
    "written",
]
