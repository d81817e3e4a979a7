"""The scheduler: consumes every event, calls `decide`, appends what it says."""
