"""What a jobs file may say: its sections and keys, and the forms of their values."""
