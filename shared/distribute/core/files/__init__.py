"""Files by their digests: what a job left, and what a folder of inputs holds."""
