"""YAML: its plain values, with the place of each, and in plain words what is wrong with a text."""
