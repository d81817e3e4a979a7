"""The notifier: tells people what became of their batches, by mail and other channels; appends `notified`."""
