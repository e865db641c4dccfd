"""`python -m stepsize.cli`, where the console script isn't installed."""

from stepsize.cli import app

app(prog_name="stepsize")
