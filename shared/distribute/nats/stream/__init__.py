"""Messages and events in streams.

`subjects` says what lies where; `layout`, `migrations` and `provision` make it so. `publisher` (with
`outgoing`, `guards` and `parts`) writes, `said` says again what was lost. `reader` and `durable` (on
`pulling`) read, `messages` makes events of what they read. `log`, `beats`, `live` and `queries` implement
the ports.
"""
