"""A simulated cluster: virtual time, network, broker, store and hosts, on which the real services run."""
