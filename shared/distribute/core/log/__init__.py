"""What stands in the log: the events, who may write them, and how the log has recorded them."""
