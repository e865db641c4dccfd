"""Data sets: what they are (`cards`), where they lie (`files`), what can be said of them (`inspection`), and uploads.

Standard library and Pydantic only: the API process must not import numpy, and looks no deeper than headers, listings,
lines and numbers tell. Workers read the data itself, see `stepsize_workers.training.datasets`.
"""
