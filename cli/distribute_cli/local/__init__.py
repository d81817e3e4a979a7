"""A cluster on this computer: starting its processes, keeping them running, and ending it."""
