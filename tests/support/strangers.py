"""What strangers may send to a listening port."""

import contextlib
import random
import socket

CONNECT_LIMIT_S = 5
MIB = 1 << 20

# The beginning of a TLS 1.3 ClientHello: a record of 512 bytes announced, 40 of them sent.
HALF_HELLO = bytes.fromhex("16030102000100" "01fc0303") + bytes(range(29))
HTTP = b"GET / HTTP/1.1\r\nHost: example.com\r\nUser-Agent: curl/7.88.1\r\nAccept: */*\r\n\r\n"
SSH = b"SSH-2.0-OpenSSH_9.2p1\r\n"


def messages(seed=1):
    """(what, bytes) of all of them."""
    noise = random.Random(seed)
    yield "nothing", b""
    yield "one zero", b"\0"
    yield "random bytes", noise.randbytes(1000)
    yield "half a handshake", HALF_HELLO
    yield "a TLS record of the largest length with noise", b"\x16\x03\x01\xff\xff" + noise.randbytes(65535)
    yield "plain HTTP", HTTP
    yield "ssh", SSH
    yield "a name of a million bytes", b"GET /" + b"a" * 1_000_000 + b" HTTP/1.1\r\n\r\n"
    yield "a megabyte of noise", noise.randbytes(MIB)
    yield "a megabyte of zeros", bytes(MIB)


def send(address, data, linger=True):
    """Sends as much as the other side takes and closes, by a reset where `linger` is false."""
    with contextlib.suppress(OSError), socket.create_connection(address, CONNECT_LIMIT_S) as connection:
        if not linger:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        connection.sendall(data)
        connection.settimeout(0.05)
        connection.recv(4096)


def hold(address, data, count):
    """Opens `count` connections, sends `data` on each and leaves them open; returns them."""
    connections = []
    for _ in range(count):
        connection = socket.create_connection(address, CONNECT_LIMIT_S)
        connections.append(connection)
        with contextlib.suppress(OSError):
            connection.sendall(data)
    return connections


def closed_by_peer(connection, limit_s):
    """Whether the other side has let go of the connection within the limit."""
    connection.settimeout(limit_s)
    try:
        while connection.recv(4096):
            pass
    except TimeoutError:
        return False
    except OSError:
        pass
    return True
