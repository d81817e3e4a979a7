"""The scheduler: consumes every event, calls `decide`, appends the events that it returns."""
