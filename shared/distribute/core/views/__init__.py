"""What the queries answer: views of the state as JSON. The keys are a contract."""
