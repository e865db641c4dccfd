"""The analysis process itself: the only part of `stepsize.analysis` that reads the database."""
