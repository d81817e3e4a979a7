"""The services: each consumes events, calls one pure function, and appends the events that it returns."""
