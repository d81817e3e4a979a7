"""Everything that is wrong with a jobs file, and with the local files that it names."""
