"""The files that people write: `distribute-jobs.yaml`, and the settings of clients and nodes.

`loading.load` reads a batch; `settings` reads `client.yaml` and `node.yaml`; `where` finds the cluster;
`templates` holds examples; `units` reads and writes durations and sizes.
"""
