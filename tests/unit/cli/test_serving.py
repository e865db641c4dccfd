"""How the API listens."""

import socket

from stepsize.cli.serving import _listening


def test_answers_do_not_wait_for_the_clients_acknowledgement() -> None:
    with (
        _listening("127.0.0.1", 0) as listener,
        socket.create_connection(listener.getsockname()),
        listener.accept()[0] as accepted,
    ):
        # With Nagle's algorithm every answer but a connection's first takes 40 ms.
        assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
