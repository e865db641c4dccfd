"""Alembic migrations of the `stepsize_*` tables; run by service/stepsize/store/migrate.py. See NOTES.md."""
