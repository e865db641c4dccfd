"""Alembic's environment: runs on the connection that stepsize.store.migrate hands over, inside its transaction."""

from alembic import context

from stepsize.store.migrate import CONTEXT_OPTIONS
from stepsize.store.models import metadata

attributes = context.config.attributes
context.configure(
    connection=attributes["connection"],
    target_metadata=metadata,
    **CONTEXT_OPTIONS | attributes.get("context_options", {}),
)
with context.begin_transaction():
    context.run_migrations()
