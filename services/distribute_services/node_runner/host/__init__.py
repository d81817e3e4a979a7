"""The computer: `port` says what the runner needs of it; the rest is that for Linux."""
