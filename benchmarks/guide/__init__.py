"""The guide "Choosing a learning rate with Stepsize": its jobs, what is read from them, and the pages in docs/guide."""
