"""The one place that knows NATS.

Upwards from the socket: `wire` and `protocol` move bytes, `connection` and `connect` keep a connection,
`jetstream` asks its API, `patience` over outages, `publisher` (with `outgoing`, `guards`, `parts`) writes,
`reader` and `durable` (on `pulling`) read, and `log`, `store`, `beats`, `live` and `queries` are what the
rest of distribute uses, all of it from `cluster`. `subjects` and `provision` say what is where; `embedded`
runs a broker, and `health` tells whether its streams can be written.
"""
