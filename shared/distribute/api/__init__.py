"""What people's Python code builds: configurations, by the functions of the first `distribute`, and batches.

`original` has these functions, `keys` the arguments that they and a batch take beside them.
"""
