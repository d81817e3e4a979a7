"""The command line: `distribute`."""
