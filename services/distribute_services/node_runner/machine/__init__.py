"""What the node-runner decides, with no I/O."""
