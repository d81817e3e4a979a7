"""The node-runner: runs jobs on one computer. `service` is its process."""
