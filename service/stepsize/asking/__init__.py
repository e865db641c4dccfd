"""Asking the analysis process, from the API or from a worker: the questions, and the child that answers them."""
