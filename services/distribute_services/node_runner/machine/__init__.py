"""The node-runner's decisions, without I/O."""
