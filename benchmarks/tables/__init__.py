"""The tables of docs/guide/tables.md: the job files of examples/tables, run on a real service and reported together."""
