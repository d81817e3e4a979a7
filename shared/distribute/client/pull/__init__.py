"""Bringing results here: which files are wanted, what is there already, and writing the rest safely."""
