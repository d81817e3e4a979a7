"""One connection to the broker.

`wire` and `protocol` move bytes, `connect` and `connection` make and keep the connection, `jetstream` asks
the broker's API, and `patience` does so over outages.
"""

from __future__ import annotations

from distribute.nats.client.importing import import_nats

import_nats()
