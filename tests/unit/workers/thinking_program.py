"""A stand-in for a process that thinks: carries out the statement it was given about the question it is asked."""

import sys
from multiprocessing.connection import Connection

if __name__ == "__main__":
    connection: Connection = Connection(int(sys.argv[1]))
    exec(sys.argv[2], {"connection": connection, "question": connection.recv()})
