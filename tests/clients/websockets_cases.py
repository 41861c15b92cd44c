"""The library `websockets`: messages of all shapes, control frames, compression, and both ways to an end."""

import websockets
from websockets.exceptions import ConnectionClosedError, InvalidStatus
from websockets.sync.client import connect

NAME = "websockets"
VERSION = websockets.__version__

# What is charged for a connection over which no message went.
NONE = 0


def opened(gateway, token, **options):
    headers = {"authorization": f"Bearer {token}"}
    return connect(f"ws://{gateway}/live", additional_headers=headers, proxy=None, max_size=None, **options)


def echoed(gateway, token):
    """a thousand messages, and their echoes"""
    with opened(gateway, token) as socket:
        for at in range(1_000):
            socket.send(f"message {at}")
            assert socket.recv() == f"message {at}"


def in_parts(gateway, token):
    """a message in parts is one"""
    with opened(gateway, token) as socket:
        socket.send(["one ", "two ", "three"])
        assert socket.recv() == "one two three"


def large(gateway, token):
    """a message of a mebibyte, compressed and plain"""
    for compression in ("deflate", None):
        with opened(gateway, token, compression=compression) as socket:
            extensions = socket.response.headers.get("sec-websocket-extensions", "")
            assert extensions.startswith("permessage-deflate") == (compression is not None), extensions
            message = bytes(range(256)) * 4_096
            socket.send(message)
            assert socket.recv() == message


def pinged(gateway, token):
    """pings are answered, and free"""
    with opened(gateway, token) as socket:
        for _ in range(20):
            assert socket.ping().wait(30)


def spoken(gateway, token):
    """a subprotocol is agreed on"""
    with opened(gateway, token, subprotocols=["chat.v1", "chat.v2"]) as socket:
        assert socket.subprotocol == "chat.v2", socket.subprotocol


def closed(gateway, token):
    """the API's close arrives with its code and reason"""
    with opened(gateway, token) as socket:
        socket.send("close")
        try:
            socket.recv()
        except ConnectionClosedError as error:
            assert (error.rcvd.code, error.rcvd.reason) == (4001, "as you wish"), error
        else:
            raise AssertionError("it is open")


def refused(gateway, _token):
    """who shows no token gets no WebSocket"""
    try:
        connect(f"ws://{gateway}/live", proxy=None)
    except InvalidStatus as error:
        assert error.response.status_code == 401, error
    else:
        raise AssertionError("it is open")


CASES = [
    (echoed, 2_000),
    (in_parts, 2),
    (large, 4),
    (pinged, NONE),
    (spoken, NONE),
    (closed, 1),
    (refused, 0),
]
