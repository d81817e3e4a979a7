"""Find what jobs leave, and upload it to the results bucket."""
