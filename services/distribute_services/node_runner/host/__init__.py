"""The computer: `port` is the interface that the runner uses; the other modules implement it for Linux."""
