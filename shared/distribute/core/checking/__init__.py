"""Checks of a whole state and of a whole log."""
