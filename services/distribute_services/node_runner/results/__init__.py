"""Find what jobs leave outside their folder of results."""
