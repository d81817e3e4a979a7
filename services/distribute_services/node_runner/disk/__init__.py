"""The working folder: cached inputs, workspaces, and the room on the disk."""
