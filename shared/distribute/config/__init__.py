"""The files people write: `distribute-jobs.yaml`, and the settings of clients and nodes.

`loading.load` reads a batch, `settings` says where the cluster is and what a node lends, `templates`
holds examples, and `units` reads and writes durations and sizes.
"""
