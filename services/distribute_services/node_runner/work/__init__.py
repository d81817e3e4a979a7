"""Carries the machine's instructions out, on whatever host it is given."""
