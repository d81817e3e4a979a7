"""The services: each consumes events, calls one pure function, and appends what it says."""
