"""A batch from a shell's line, for `submit`: what a person typed becomes the values of a jobs file."""
