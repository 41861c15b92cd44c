"""What stands behind the gateway: a model that answers as OpenAI and Anthropic do, and an echo of WebSockets.

    python servers.py

Prints the addresses of both, then serves until its input ends.
"""

import asyncio
import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed

STREAMS = Path(__file__).parent.parent / "fixtures" / "streams"
USAGE = {"prompt_tokens": 19, "completion_tokens": 10, "total_tokens": 29}


def event(data):
    return f"data: {json.dumps(data)}\n\n".encode()


def chunk(text):
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": None}
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "fake",
        "choices": [choice],
        "usage": None,
    }


def completion():
    message = {"role": "assistant", "content": "Hi"}
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "fake",
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": USAGE,
    }


class Model(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def handle(self):
        try:
            super().handle()
        except ConnectionError:
            # Who asked has left.
            pass

    def do_GET(self):
        self.whole(200, {"object": "list", "data": []})

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if asked.get("model") == "broken":
            return self.whole(500, {"error": {"message": "it broke", "type": "server_error"}})
        if asked.get("model") == "endless":
            return self.endless()
        if not asked.get("stream"):
            return self.whole(200, completion())
        names = {"/v1/chat/completions": "openai_chat", "/v1/responses": "openai_responses"}
        name = names.get(self.path, "anthropic_messages")
        self.begin()
        for part in (STREAMS / f"{name}.sse").read_bytes().split(b"\n\n"):
            if part.strip():
                self.piece(part + b"\n\n")
        self.piece(b"")

    def endless(self):
        """Goes on until the client has left, and never tells what it cost."""
        self.begin()
        while True:
            self.piece(event(chunk("more")))

    def begin(self):
        self.send_response(200)
        self.send_header("content-type", "text/event-stream; charset=utf-8")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()

    def piece(self, data):
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))

    def whole(self, status, answer):
        body = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def select(_socket, offered):
    return "chat.v2" if "chat.v2" in offered else None


async def echo(socket):
    try:
        async for message in socket:
            if message == "close":
                return await socket.close(4001, "as you wish")
            await socket.send(message)
    except ConnectionClosed:
        pass


async def main():
    model = ThreadingHTTPServer(("127.0.0.1", 0), Model)
    threading.Thread(target=model.serve_forever, daemon=True).start()
    options = {"max_size": None, "ping_interval": None, "select_subprotocol": select}
    async with serve(echo, "127.0.0.1", 0, **options) as server:
        port = server.sockets[0].getsockname()[1]
        print(f"127.0.0.1:{model.server_port} 127.0.0.1:{port}", flush=True)
        await asyncio.to_thread(sys.stdin.read)


asyncio.run(main())
