"""The jobs of a sweep, from its points and the pattern of its jobs."""
