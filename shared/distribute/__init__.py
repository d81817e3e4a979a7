"""distribute: runs batches of jobs on the unlike computers of a lab."""

__version__ = "0.1.0"
