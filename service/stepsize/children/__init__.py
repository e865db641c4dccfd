"""Processes that this one starts: the pipe to them, the thread that speaks to them, and that they end with it."""
