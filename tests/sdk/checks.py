"""What the checks of the sandbox stand on: comparing, pressing buttons, receiving webhooks."""

import json
import queue
import threading
import time
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, HTTPServer

import stripe


class Mismatch(Exception):
    """The sandbox answered something else than Stripe would."""


def expect(what, actual, wanted):
    if actual != wanted:
        raise Mismatch(f"{what}: got {actual!r}, wanted {wanted!r}")


def expect_error(what, kind, status, call):
    try:
        call()
    except kind as error:
        expect(f"{what}: status", error.http_status, status)
        return error
    raise Mismatch(f"{what}: nothing was raised, wanted {kind.__name__}")


class Inbox:
    """A webhook endpoint that keeps what it receives."""

    def __init__(self):
        received = queue.Queue()

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                received.put((body, self.headers["Stripe-Signature"]))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_):
                pass

        self.received = received
        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/webhook"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def next(self, kind, secret):
        """The next event of a kind, verified by the SDK."""
        deadline = time.monotonic() + 20
        while True:
            left = deadline - time.monotonic()
            try:
                body, signature = self.received.get(timeout=max(left, 0.01))
            except queue.Empty:
                raise Mismatch(f"webhook {kind} did not arrive") from None
            event = stripe.Webhook.construct_event(body, signature, secret)
            if event.type == kind:
                return event, body, signature


def press(session, button):
    """Presses one of the buttons of a checkout page; answers the status and where it leads."""

    class Stay(urllib.request.HTTPRedirectHandler):
        def redirect_request(self, *_):
            return None

    request = urllib.request.Request(f"{session.url}/{button}", data=b"", method="POST")
    try:
        urllib.request.build_opener(Stay).open(request)
    except urllib.error.HTTPError as answer:
        return answer.code, answer.headers.get("Location")
    raise Mismatch(f"{button}: the page stayed without saying why")


def hook(base, path, **fields):
    body = json.dumps(fields).encode()
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(f"{base}/_sandbox/{path}", data=body, headers=headers)
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)
