"""The calls of the API, each described once: what is sent, and how its answer is read. One module a noun.

A description is a plain function that returns a `Call` or a `Listing`; `operations.py` makes methods of it for both
clients.
"""
