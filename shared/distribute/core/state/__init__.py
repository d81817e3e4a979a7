"""The state of the lab, and its forms in memory and in snapshots. Only `folding` changes it."""
