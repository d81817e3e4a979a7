"""What each key means, for the JSON Schemas and for docs/keys.md."""
