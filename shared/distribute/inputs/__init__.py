"""Inputs of a batch: folders and files on a disk, their listings, and the objects that are sent of them."""
