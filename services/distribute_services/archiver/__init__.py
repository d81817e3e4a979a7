"""The archiver: consumes `finished`, checks that the outputs are complete, appends `job_archived`."""
