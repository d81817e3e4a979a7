"""What a job left: listing it, uploading it to the results bucket, and quoting the end of its output."""
