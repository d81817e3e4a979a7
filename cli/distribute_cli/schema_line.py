"""How a batch's YAML file tells editors where its JSON Schema is.

By a path beside the file. No address of ours exists; the path of an installed package is another on each
computer, and gone with the virtual environment. So the folder can be moved, shared and archived, and the
schema in it is that of the version for which the file was written. It is hidden, because people have no
business with it; without it, an editor only says that it can't be loaded.
"""

SCHEMA_FILE = ".distribute-jobs.schema.json"

MODELINE = "# yaml-language-server: $schema="
"""Begins a line that editors read. The path behind it has no spaces, and is relative to the file."""
