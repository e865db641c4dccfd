"""`python -m service.cli`, where the console script isn't installed."""

from service.cli import app

app(prog_name="stepsize")
