"""Events in sentences, and batches as JSON."""
