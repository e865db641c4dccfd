"""`python -m stepsize_workers`: one worker process, with the slots of this machine, until SIGTERM or SIGINT."""

from stepsize_workers.signals import hold_signals

if __name__ == "__main__":
    hold_signals()
    from stepsize_workers.process import main

    main()
