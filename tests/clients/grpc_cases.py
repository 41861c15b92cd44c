"""grpcio: calls of all four kinds, what they end with, and what they cost. Each route costs 1, and only `OK` is charged.

    python grpc_cases.py GATEWAY TOKEN [AUTHORITY]

GATEWAY speaks HTTP/2 without TLS, or with it: then AUTHORITY is the file of who signed its certificate for api.test.
Prints the table, and in its last line the units of all calls. Exits 1 if a case failed.
"""

import queue
import sys
import traceback
from pathlib import Path

import grpc

LARGE = b"x" * (4 << 20)
# Of a call, in seconds.
PATIENT = {"timeout": 30}
OPTIONS = [("grpc.max_receive_message_length", -1), ("grpc.enable_retries", 0)]


class Calls:
    """The calls of a customer; one that does not come back fails."""

    def __init__(self, channel, token):
        self.metadata = (("authorization", f"Bearer {token}"), ("x-asking", "python"))
        self.channel = channel

    def once(self, request, method="Once", **options):
        path = method if method.startswith("/") else f"/calls.Calls/{method}"
        return self.channel.unary_unary(path)(request, metadata=self.metadata, **PATIENT | options)

    def down(self, request, method="Down", **options):
        return self.channel.unary_stream(f"/calls.Calls/{method}")(request, metadata=self.metadata, **PATIENT | options)

    def up(self, requests):
        return self.channel.stream_unary("/calls.Calls/Up")(requests, metadata=self.metadata, **PATIENT)

    def both(self, requests):
        return self.channel.stream_stream("/calls.Calls/Both")(requests, metadata=self.metadata, **PATIENT)


def raised(call):
    try:
        call()
    except grpc.RpcError as error:
        return error
    raise AssertionError("it succeeded")


def unary(calls, _nobody):
    """one message each way"""
    assert calls.once(b"hello") == b"hello"
    return 1


def metadata(calls, _nobody):
    """metadata passes both ways"""
    request = calls.channel.unary_unary("/calls.Calls/Once")
    _, call = request.with_call(b"hello", metadata=calls.metadata, **PATIENT)
    assert dict(call.trailing_metadata())["x-asked-by"] == "python", call.trailing_metadata()
    assert dict(call.initial_metadata())["x-usage-cost"].startswith("api_calls=1"), call.initial_metadata()
    return 1


def server_stream(calls, _nobody):
    """many messages down"""
    assert [int(message) for message in calls.down(b"500")] == list(range(500))
    return 1


def client_stream(calls, _nobody):
    """many messages up"""
    assert calls.up(iter([b"a"] * 500)) == b"a" * 500
    return 1


def both_streams(calls, _nobody):
    """a conversation, each word heard before the next is said"""
    said = queue.SimpleQueue()
    heard = calls.both(iter(said.get, None))
    for at in range(50):
        said.put(b"%d" % at)
        assert next(heard) == b"%d" % at
    said.put(None)
    assert list(heard) == []
    return 1


def large(calls, _nobody):
    """four mebibytes each way"""
    assert calls.once(LARGE) == LARGE
    return 1


def failed_at_once(calls, _nobody):
    """every code, in the header"""
    for code in grpc.StatusCode:
        if code != grpc.StatusCode.OK:
            error = raised(lambda: list(calls.down(b"%d" % code.value[0], "Failing")))
            assert (error.code(), error.details()) == (code, "as you wish"), error
    return 0


def failed_later(calls, _nobody):
    """every code, in trailers behind a message"""
    for code in grpc.StatusCode:
        if code != grpc.StatusCode.OK:
            stream = calls.down(b"%d message" % code.value[0], "Failing")
            assert next(stream) == b"message"
            error = raised(lambda: next(stream))
            assert error.code() == code, error
    return 0


def late(calls, _nobody):
    """a deadline that passes before the answer"""
    error = raised(lambda: calls.once(b"", "Slow", timeout=0.5))
    assert error.code() == grpc.StatusCode.DEADLINE_EXCEEDED, error
    return 0


def cancelled(calls, _nobody):
    """a call that its client takes back before the answer"""
    call = calls.channel.unary_unary("/calls.Calls/Slow").future(b"", metadata=calls.metadata)
    call.cancel()
    assert call.cancelled()
    return 0


def refused(calls, nobody):
    """refusals have the codes of gRPC"""
    for code, word, call in [
        (grpc.StatusCode.UNAUTHENTICATED, "token_invalid", lambda: nobody.once(b"")),
        (grpc.StatusCode.UNIMPLEMENTED, "route_not_found", lambda: calls.once(b"", "/nobody.Nobody/Nothing")),
        (grpc.StatusCode.PERMISSION_DENIED, "feature_not_included", lambda: calls.once(b"", "Premium")),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, "quota_exceeded", lambda: calls.once(b"", "Dear")),
        (grpc.StatusCode.UNAVAILABLE, "upstream_failed", lambda: calls.once(b"", "Lost")),
    ]:
        error = raised(call)
        assert (error.code(), error.details().split(":")[0]) == (code, word), error
    return 0


CASES = [
    unary,
    metadata,
    server_stream,
    client_stream,
    both_streams,
    large,
    failed_at_once,
    failed_later,
    late,
    cancelled,
    refused,
]


def main():
    gateway, token, *authority = sys.argv[1:]
    if authority:
        roots = grpc.ssl_channel_credentials(Path(authority[0]).read_bytes())
        named = [("grpc.ssl_target_name_override", "api.test")]
        channel = grpc.secure_channel(gateway, roots, OPTIONS + named)
    else:
        channel = grpc.insecure_channel(gateway, OPTIONS)
    passed = units = 0
    with channel:
        calls, nobody = Calls(channel, token), Calls(channel, "a.b.c")
        for case in CASES:
            try:
                units += case(calls, nobody)
                passed += 1
            except Exception:
                print(f"FAILED: {case.__doc__}", file=sys.stderr)
                traceback.print_exc()
    print(f"{'client':<12}{'version':<12}{'cases':>6}{'passed':>8}")
    print(f"{'grpcio':<12}{grpc.__version__:<12}{len(CASES):>6}{passed:>8}")
    print(units)
    sys.exit(0 if passed == len(CASES) else 1)


main()
