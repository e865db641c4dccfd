"""The service as tools for agents, over the Model Context Protocol. A client of the service, and nothing more."""
