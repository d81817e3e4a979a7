"""How the keeper refuses, in words that the runner looks for. Both import this, so it imports nothing."""

NO_SUCH_VERB = "no such verb"
"""How the answer to a verb of a later version begins."""
