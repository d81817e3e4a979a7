"""Messages and events in streams.

`subjects` maps events to subjects; `layout`, `migrations` and `provision` create the streams. `publisher`
(with `outgoing`, `guards` and `parts`) writes, and `said` appends lost events again. `reader` and `durable`
(on `pulling`) read, and `messages` turns messages into events. `log`, `beats`, `live` and `queries` implement
the ports.
"""
