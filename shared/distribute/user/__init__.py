"""What people's Python programs and notebooks do with a cluster: `distribute.Batch`.

Here the client meets NATS: these modules open a cluster, as the command line's session does.
"""
