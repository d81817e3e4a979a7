"""A cluster that runs on this computer: its processes, what keeps them running, and how it ends."""
