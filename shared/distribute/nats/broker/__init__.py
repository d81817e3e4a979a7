"""The broker itself: `embedded` runs one, `health` tells whether its streams can be written."""
