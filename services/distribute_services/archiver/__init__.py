"""The archiver: once an attempt has ended, checks that its outputs are complete; appends `job_archived`."""
