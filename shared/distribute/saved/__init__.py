"""Saved logs: files that hold the events of a cluster, for readers without a server."""
