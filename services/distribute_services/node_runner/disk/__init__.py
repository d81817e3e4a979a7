"""The working folder: cached inputs, workspaces, and room on the disk."""
