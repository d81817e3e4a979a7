"""Bring a batch into the archive that ran elsewhere: read its folder, submit it, collect each of its jobs."""
