"""Run a broker (`embedded`), and check that its streams can be written (`health`)."""
