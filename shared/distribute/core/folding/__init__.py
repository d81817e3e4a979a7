"""The fold: what each event changes in the state."""
