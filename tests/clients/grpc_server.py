"""A server of gRPC behind the gateway, by grpcio: its messages are plain bytes.

    python grpc_server.py

Prints its address, then serves until its input ends.
"""

import sys
from concurrent import futures

import grpc

CODES = {code.value[0]: code for code in grpc.StatusCode}


def once(request, context):
    context.set_trailing_metadata((("x-asked-by", dict(context.invocation_metadata()).get("x-asking", "nobody")),))
    return request


def down(request, _context):
    for at in range(int(request)):
        yield b"%d" % at


def up(requests, _context):
    return b"".join(requests)


def both(requests, _context):
    for request in requests:
        yield request


def failing(request, context):
    """Ends with a code: at once, or after a message."""
    code, _, message = request.partition(b" ")
    if message:
        yield message
    context.abort(CODES[int(code)], "as you wish")


def slow(_request, context):
    """Answers when nobody waits any more."""
    gone = futures.Future()
    # False: it is over already.
    if context.add_callback(lambda: gone.set_result(None)):
        gone.result()
    return b""


METHODS = {
    "Once": grpc.unary_unary_rpc_method_handler(once),
    "Down": grpc.unary_stream_rpc_method_handler(down),
    "Up": grpc.stream_unary_rpc_method_handler(up),
    "Both": grpc.stream_stream_rpc_method_handler(both),
    "Failing": grpc.unary_stream_rpc_method_handler(failing),
    "Slow": grpc.unary_unary_rpc_method_handler(slow),
}

server = grpc.server(futures.ThreadPoolExecutor(32), options=[("grpc.max_receive_message_length", -1)])
server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("calls.Calls", METHODS),))
port = server.add_insecure_port("127.0.0.1:0")
server.start()
print(f"127.0.0.1:{port}", flush=True)
sys.stdin.read()
server.stop(None)
