"""A child that sends back what it is sent, or does as it is told."""

import os
import signal
import subprocess
import sys
import time
from multiprocessing.connection import Connection


def main(pipe_fd: int) -> None:
    """Answer until the pipe closes."""
    connection: Connection = Connection(pipe_fd)
    while True:
        try:
            match connection.recv():
                case "die":
                    os.kill(os.getpid(), signal.SIGKILL)
                case "sleep":
                    time.sleep(600)
                case "start":
                    connection.send(subprocess.Popen(["sleep", "600"]).pid)
                case "environment":
                    connection.send(dict(os.environ))
                case other:
                    connection.send((os.getpid(), other))
        except EOFError:
            return


if __name__ == "__main__":
    main(int(sys.argv[1]))
