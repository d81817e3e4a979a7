"""The settings of clients, nodes and servers, and where a cluster is."""
