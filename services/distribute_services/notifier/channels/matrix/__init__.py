"""Messages to Matrix users, by matrix-nio, which takes 250 ms to import: that is done when it connects."""
