"""`python -m stepsize.cli`, where the console script isn't installed."""

from stepsize.console import main

main()
