"""How verbs answer: words, tables, JSON and progress bars."""
