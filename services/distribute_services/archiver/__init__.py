"""The archiver: consumes `finished`, checks that the outputs are whole, appends `job_archived`."""
