"""The files that people write: `distribute-jobs.yaml` and the settings files.

`loading.load` reads a batch; `settings` reads `client.yaml`, `node.yaml` and `server.yaml`; `where` finds the
cluster; `templates` holds examples; `units` reads and writes durations and sizes.
"""
