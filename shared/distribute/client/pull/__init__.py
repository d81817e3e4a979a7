"""Pull results: choose the files, find those that are here already, and write the others safely."""
