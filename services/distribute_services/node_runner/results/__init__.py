"""What jobs leave, and how it comes to the results bucket."""
