"""Figures: one module a family, each function from plain data to a matplotlib figure."""
