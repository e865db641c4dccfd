"""How the API listens."""

import contextlib
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


def test_the_kernel_holds_little_of_what_nobody_takes() -> None:
    with _listening("127.0.0.1", 0) as listener, socket.socket() as reader:
        reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        reader.connect(listener.getsockname())
        with listener.accept()[0] as accepted:
            accepted.setblocking(False)
            taken = 0
            with contextlib.suppress(BlockingIOError):
                while taken < 64 << 20:
                    taken += accepted.send(b"." * 65536)

    assert taken <= 512 << 10, "4 MiB and more where the kernel chooses"
