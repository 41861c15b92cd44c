"""grpcio: a conversation that its limit ends. Each KiB that is heard costs a unit.

    python grpc_limit.py GATEWAY TOKEN

GATEWAY speaks HTTP/2 without TLS. Prints in its last line the units of what was heard. Exits 1 if it did not end with
the limit's status.
"""

import queue
import sys

import grpc

# With its length and a flag in front it is a KiB.
WORD = b"x" * (1024 - 5)

gateway, token = sys.argv[1:]
heard = 0
with grpc.insecure_channel(gateway) as channel:
    said = queue.SimpleQueue()
    call = channel.stream_stream("/calls.Calls/Both")(
        iter(said.get, None), metadata=(("authorization", f"Bearer {token}"),)
    )
    said.put(WORD)
    try:
        for word in call:
            assert word == WORD
            heard += 1
            said.put(WORD)
        sys.exit("it ended as if it were whole")
    except grpc.RpcError as error:
        ended = error.code(), error.details().split(":")[0]
        assert ended == (grpc.StatusCode.RESOURCE_EXHAUSTED, "quota_exceeded"), error
    finally:
        said.put(None)
print(f"ended by its limit after {heard} messages")
print(heard)
