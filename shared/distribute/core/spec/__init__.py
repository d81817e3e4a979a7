"""Specifications: what a batch is, what its jobs need, and what a node makes of them."""
