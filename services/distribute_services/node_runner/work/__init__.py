"""Carry out the machine's instructions on a host."""
