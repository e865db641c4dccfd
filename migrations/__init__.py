"""Alembic migrations of the `stepsize_*` tables; run by service/store/migrate.py. See NOTES.md."""
