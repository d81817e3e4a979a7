"""A whole cluster in one process, without a broker: `ports.Cluster` in memory, its files in a folder."""
