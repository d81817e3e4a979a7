"""The one place that knows NATS. The rest of distribute comes in by `cluster`.

| room | what it does |
|---|---|
| `client` | keeps a connection, and asks JetStream's API over it |
| `stream` | writes and reads messages and events: streams, subjects, guards, garbage, the layout |
| `objects` | stores files as chunks, and brings them back whole |
| `broker` | runs a nats-server, and tells whether it can store anything |
"""
