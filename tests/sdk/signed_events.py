"""Sends test events, signed by Stripe's own Python SDK, to a gateway: each is accepted, each tampering refused.

    python signed_events.py target/debug/tollgate http://127.0.0.1:SANDBOX_PORT

Exits 0 if the gateway believes what Stripe signed and nothing else, else 1 with the first mismatch.
"""

import json
import pathlib
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

import stripe

SECRET = "whsec_only_for_this_test"
ADMIN_TOKEN = "only-for-tests-admin-token"
TOLERANCE = 300
KINDS = [
    ("customer.created", {"object": "customer", "id": "cus_1"}),
    ("customer.subscription.updated", {"object": "subscription", "id": "sub_1", "customer": "cus_1"}),
    ("checkout.session.completed", {"object": "checkout.session", "id": "cs_1", "mode": "payment"}),
    ("invoice.paid", {"object": "invoice", "id": "in_1", "customer": "cus_1"}),
    ("payment_intent.succeeded", {"object": "payment_intent", "id": "pi_1", "metadata": {}}),
    ("something.that.does.not.exist.yet", {"object": "something", "name": "Zoë — ☃"}),
]


class Mismatch(Exception):
    """The gateway believed the wrong one."""


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Gateway:
    """The real binary, beside a sandbox."""

    def __init__(self, binary, sandbox, folder):
        self.public, self.admin = free_port(), free_port()
        config = pathlib.Path(folder) / "tollgate.toml"
        config.write_text(f"""
            [server]
            listen = "127.0.0.1:{self.public}"
            admin_listen = "127.0.0.1:{self.admin}"
            admin_token = "{ADMIN_TOKEN}"
            data_dir = "{folder}/data"
            [auth.jwt]
            algorithms = ["HS256"]
            secret = "only-for-tests-0123456789-0123456789"
            [upstreams.api]
            servers = ["127.0.0.1:9"]
            [meters.api_calls]
            [[routes]]
            path = "/signals"
            cost = 1
            [tiers.free]
            default = true
            included = {{ api_calls = 100 }}
            [stripe]
            secret_key = "sk_test_sandbox"
            webhook_secrets = ["{SECRET}"]
            api_base = "{sandbox}"
        """)
        self.process = subprocess.Popen(
            [binary, "run", "--config", str(config)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )
        self.wait_until_ready()

    def wait_until_ready(self):
        deadline = time.monotonic() + 20
        while True:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{self.admin}/readyz").close()
                return
            except OSError:
                if self.process.poll() is not None or time.monotonic() > deadline:
                    self.process.kill()
                    raise Mismatch(f"the gateway is not ready: {self.process.stderr.read().decode()}") from None
                time.sleep(0.02)

    def deliver(self, body, header):
        """The status of the answer."""
        headers = {"Content-Type": "application/json"} | ({"Stripe-Signature": header} if header else {})
        url = f"http://127.0.0.1:{self.public}/webhooks/stripe"
        try:
            with urllib.request.urlopen(urllib.request.Request(url, data=body, headers=headers)) as answer:
                return answer.status
        except urllib.error.HTTPError as error:
            return error.code

    def events(self):
        """Ids of everything that was believed of what this made; the local Stripe's own list is read as well."""
        url = f"http://127.0.0.1:{self.admin}/admin/webhooks?limit=1000"
        request = urllib.request.Request(url, headers={"Authorization": f"Bearer {ADMIN_TOKEN}"})
        with urllib.request.urlopen(request) as answer:
            ids = {row["id"] for row in json.load(answer)["data"]}
        return {id for id in ids if id.startswith(("evt_sdk_", "evt_forged_"))}

    def stop(self):
        self.process.terminate()
        self.process.communicate(timeout=20)


def signed(body, secret=SECRET, at=None, scheme="v1"):
    """The header, with the SDK's own signature."""
    at = int(time.time()) if at is None else at
    signature = stripe.WebhookSignature._compute_signature(f"{at}.{body.decode()}", secret)
    return f"t={at},{scheme}={signature}"


def test_event(number, kind, about):
    event = stripe.Event.construct_from(
        {
            "id": f"evt_sdk_{number}",
            "object": "event",
            "api_version": stripe.api_version,
            "created": int(time.time()),
            "livemode": False,
            "type": kind,
            "data": {"object": about},
        },
        "sk_test_sandbox",
    )
    return json.dumps(event.to_dict(), ensure_ascii=False).encode()


def tamperings(body):
    """Name, body and header of everything that must not be believed."""
    now, good = int(time.time()), signed(body)
    last = good[-1]
    flipped = good[:-1] + ("0" if last != "0" else "1")
    signature = good.split("v1=")[1]
    return [
        ("another body", body.replace(b"evt_sdk_", b"evt_forged_"), good),
        ("a space more", body + b" ", good),
        ("a byte less", body[:-1], good),
        ("another secret", body, signed(body, secret="whsec_of_somebody_else")),
        ("another digit", body, flipped),
        ("another time", body, good.replace(f"t={now}", f"t={now + 1}").replace(f"t={now - 1}", f"t={now + 1}")),
        ("an old time", body, signed(body, at=now - TOLERANCE - 10)),
        ("a time to come", body, signed(body, at=now + TOLERANCE + 10)),
        ("the scheme of test mode", body, signed(body, scheme="v0")),
        ("no time", body, f"v1={signature}"),
        ("no signature", body, f"t={now}"),
        ("an empty signature", body, f"t={now},v1="),
        ("half a signature", body, good[:-32]),
        ("no header", body, None),
        ("an empty secret", body, signed(body, secret="")),
    ]


def check(gateway):
    for number, (kind, about) in enumerate(KINDS):
        body = test_event(number, kind, about)
        for name, tampered, header in tamperings(body):
            status = gateway.deliver(tampered, header)
            if status not in (400, 429):
                raise Mismatch(f"{kind}, {name}: {status}")
            if header:
                try:
                    stripe.Webhook.construct_event(tampered, header, SECRET)
                except (stripe.SignatureVerificationError, ValueError):
                    continue
                if name != "a time to come":  # the SDK lets the future pass, the gateway does not
                    raise Mismatch(f"{kind}, {name}: Stripe's SDK believes it")
        if gateway.events() != {f"evt_sdk_{earlier}" for earlier in range(number)}:
            raise Mismatch(f"{kind}: something forged was stored: {gateway.events()}")
        header = signed(body)
        stripe.Webhook.construct_event(body, header, SECRET)
        for again in range(2):
            status = gateway.deliver(body, header)
            if status != 200:
                raise Mismatch(f"{kind}, delivery {again + 1}: {status}")
    rolled = test_event(len(KINDS), "customer.updated", {"object": "customer", "id": "cus_1"})
    both = signed(rolled, secret="whsec_new") + "," + signed(rolled).split(",")[1]
    if gateway.deliver(rolled, both) != 200:
        raise Mismatch("one of two signatures is right")
    if gateway.events() != {f"evt_sdk_{number}" for number in range(len(KINDS) + 1)}:
        raise Mismatch(f"not each event once: {gateway.events()}")


def main(binary, sandbox):
    with tempfile.TemporaryDirectory() as folder:
        gateway = Gateway(binary, sandbox, folder)
        try:
            check(gateway)
        finally:
            gateway.stop()


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: signed_events.py TOLLGATE_BINARY SANDBOX_URL")
    try:
        main(sys.argv[1], sys.argv[2].rstrip("/"))
    except Mismatch as error:
        sys.exit(f"the webhook is not as strict as Stripe's SDK: {error}")
    print("the webhook believes what Stripe's SDK signs, and nothing else")
