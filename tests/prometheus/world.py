"""Real processes to scrape and to break: gateways that share a Redis, a Stripe, an API, and Prometheus.

Everything listens on loopback, keeps its files in one folder, and ends with `World.stop`. Python's standard library is
all it needs.
"""

import base64
import hashlib
import hmac
import http.client
import json
import pathlib
import shutil
import signal
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PATIENCE = 60
SECRET = "only-for-tests-0123456789-0123456789"
ADMIN_TOKEN = "only-for-tests-admin-token"
WEBHOOK_SECRET = "whsec_only_for_this_test"


class Failed(Exception):
    """What should have happened did not."""


def until(what, ask, within=PATIENCE, every=0.05):
    """Asks again and again until there is an answer."""
    deadline = time.monotonic() + within
    while True:
        answer = ask()
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise Failed(f"{what}: not within {within} s")
        time.sleep(every)


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def call(method, url, body=None, headers=None, timeout=30):
    """Status and text of an answer; no answer is status 0."""
    request = urllib.request.Request(url, data=body, headers=headers or {}, method=method)
    try:
        with urllib.request.urlopen(request, timeout=timeout) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except (OSError, http.client.HTTPException):
        return 0, ""


def token(customer, stripe_customer=None):
    """What the issuer signs."""

    def part(data):
        return base64.urlsafe_b64encode(data).rstrip(b"=")

    claims = {"sub": customer, "exp": int(time.time()) + 7200}
    if stripe_customer:
        claims["stripe_customer_id"] = stripe_customer
    signed = b".".join(part(json.dumps(each).encode()) for each in ({"alg": "HS256", "typ": "JWT"}, claims))
    return (signed + b"." + part(hmac.digest(SECRET.encode(), signed, hashlib.sha256))).decode()


class Server:
    """A small server of ours that can go away and come back on its port."""

    def __init__(self, status=200):
        self.port, self.status, self.server = free_port(), status, None
        self.start()

    def start(self):
        owner = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle(self):
                try:
                    super().handle()
                except ConnectionError:
                    # Who asked has left.
                    pass

            def do_GET(self):
                length = int(self.headers.get("content-length") or 0)
                self.rfile.read(length)
                body = b"an answer\n"
                self.send_response(owner.status)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)
                if owner.server is None:
                    self.close_connection = True

            do_POST = do_GET

            def log_message(self, *_):
                pass

        ThreadingHTTPServer.allow_reuse_address = True
        ThreadingHTTPServer.daemon_threads = True
        self.server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def stop(self):
        server, self.server = self.server, None
        if server:
            server.shutdown()
            server.server_close()


class Process:
    """A program of ours, with its words in a file."""

    def __init__(self, name, arguments, folder):
        self.name, self.arguments = name, [str(argument) for argument in arguments]
        self.log = folder / f"{name}.log"
        self.process = None

    def start(self):
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(self.arguments, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def answers(self, url):
        def ask():
            if self.process.poll() is not None:
                raise Failed(f"{self.name} ended with {self.process.returncode}:\n{self.last_words()}")
            return call("GET", url)[0] == 200

        until(f"{self.name} answers", ask)

    def last_words(self):
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-30:])

    def send(self, number):
        self.process.send_signal(number)

    def kill(self):
        self.process.kill()
        self.process.wait()

    def stop(self, number=signal.SIGTERM):
        if self.process and self.process.poll() is None:
            self.process.send_signal(number)
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.kill()


class Redis(Process):
    def __init__(self, folder):
        self.port = free_port()
        arguments = ["redis-server", "--bind", "127.0.0.1", "--port", self.port, "--save", "", "--dir", folder]
        super().__init__("redis", arguments, folder)

    def start(self):
        super().start()

        def listens():
            with socket.socket() as client:
                return client.connect_ex(("127.0.0.1", self.port)) == 0

        until("redis listens", listens)


class Stripe(Process):
    """The sandbox, with what the gateways sell, and faults that can be planned side by side."""

    def __init__(self, binary, webhook, folder):
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        listen = ["--listen", f"127.0.0.1:{self.port}"]
        hook = ["--webhook", webhook, "--webhook-secret", WEBHOOK_SECRET]
        super().__init__("stripe", [binary, "sandbox", *listen, *hook], folder)
        self.faults = {}

    def start(self):
        super().start()
        self.answers(f"{self.url}/_sandbox/health")
        meter = self.api("POST", "/v1/billing/meters", {
            "display_name": "calls", "event_name": "api_calls", "default_aggregation[formula]": "sum",
        })
        product = self.api("POST", "/v1/products", {"name": "pro"})["id"]
        price = {"product": product, "currency": "usd", "recurring[interval]": "month"}
        flat = {"lookup_key": "tollgate_pro_monthly", "unit_amount": 9900}
        metered = {
            "lookup_key": "tollgate_pro_api_calls", "unit_amount": 2,
            "recurring[usage_type]": "metered", "recurring[meter]": meter["id"],
        }
        self.prices = [self.api("POST", "/v1/prices", price | more)["id"] for more in (flat, metered)]

    def api(self, method, path, form=None):
        body = urllib.parse.urlencode(form).encode() if form else None
        headers = {"Authorization": "Bearer sk_test_x", "Content-Type": "application/x-www-form-urlencoded"}
        status, text = call(method, self.url + path, body, headers)
        if status != 200:
            raise Failed(f"stripe: {method} {path}: {status} {text}")
        return json.loads(text)

    def hook(self, path, form=None, method="POST"):
        return self.api(method, f"/_sandbox/{path}", form)

    def plan(self, name, first=False, **fault):
        """A fault for every call of an operation, until it is mended; `first` goes before the others."""
        planned = {name: {"percent": 100, **fault}}
        self.faults = planned | self.faults if first else self.faults | planned
        self.tell()

    def mend(self, name):
        del self.faults[name]
        self.tell()

    def tell(self):
        self.hook("faults", method="DELETE")
        for fault in self.faults.values():
            self.hook("faults", fault)


CONFIG = """
[server]
listen = "127.0.0.1:{public}"
admin_listen = "127.0.0.1:{admin}"
admin_token = "{admin_token}"
data_dir = "{folder}/data"
threads = 1
drain_timeout = "1s"
{server}
[auth.jwt]
algorithms = ["HS256"]
secret = "{secret}"
stripe_customer_claim = "stripe_customer_id"
[upstreams.api]
servers = ["127.0.0.1:{api}"]
health_check = {{ path = "/health", interval = "250ms", timeout = "2s", rise = 1, fall = 2 }}
[meters.api_calls]
[[routes]]
path = "/signals"
cost = 1
[tiers.free]
default = true
included = {{ api_calls = 100 }}
[tiers.pro]
price = {{ monthly = "99.00" }}
stripe_prices = {prices}
included = {{ api_calls = 1000000 }}
overage = {{ unit_amount = {{ api_calls = "0.02" }} }}
[billing]
currency = "usd"
flush_interval = "250ms"
reconcile_settle = "0s"
webhook_rate = "1000/s"
[stripe]
secret_key = "sk_test_x"
webhook_secrets = ["{webhook_secret}"]
api_base = "{stripe}"
[[webhooks]]
name = "crm"
url = "http://127.0.0.1:{crm}/"
secret = "only-for-tests-crm-secret"
{more}
"""


class Gateway(Process):
    def __init__(self, name, binary, folder):
        self.folder = folder / name
        self.folder.mkdir()
        self.public, self.admin = free_port(), free_port()
        self.config = self.folder / "tollgate.toml"
        super().__init__(name, [binary, "run", "--config", self.config], folder)

    def configure(self, world, server="", more=""):
        self.config.write_text(CONFIG.format(
            public=self.public, admin=self.admin, admin_token=ADMIN_TOKEN, folder=self.folder, secret=SECRET,
            webhook_secret=WEBHOOK_SECRET, api=world.api.port, crm=world.crm.port, stripe=world.stripe.url,
            prices=json.dumps(world.stripe.prices), server=server, more=more,
        ))

    def start(self):
        super().start()
        self.answers(f"http://127.0.0.1:{self.admin}/readyz")

    def operate(self, method, path, body=None):
        """Status and JSON of an operator's call."""
        headers = {"Authorization": f"Bearer {ADMIN_TOKEN}", "Content-Type": "application/json"}
        data = None if body is None else json.dumps(body).encode()
        status, text = call(method, f"http://127.0.0.1:{self.admin}{path}", data, headers)
        return status, json.loads(text) if text[:1] in ("{", "[") else text

    def metric(self, line):
        text = call("GET", f"http://127.0.0.1:{self.admin}/metrics")[1]
        found = [each.split(" ")[-1] for each in text.splitlines() if each.startswith(line + " ")]
        return float(found[0]) if found else None

    def deliver(self, kind, number, secret=WEBHOOK_SECRET, about=None):
        """An event, signed as Stripe signs; the status of the answer."""
        now = int(time.time())
        body = json.dumps({
            "id": f"evt_{kind.replace('.', '_')}_{number}", "object": "event", "type": kind, "created": now,
            "livemode": False, "data": {"object": about or {}},
        }).encode()
        signed = hmac.new(secret.encode(), f"{now}.".encode() + body, hashlib.sha256).hexdigest()
        headers = {"Stripe-Signature": f"t={now},v1={signed}", "Content-Type": "application/json"}
        return call("POST", f"http://127.0.0.1:{self.public}/webhooks/stripe", body, headers)[0]


class Load:
    """Customers who call both gateways without a pause for longer than `pause`."""

    def __init__(self, ports, tokens, pause):
        self.stopped, self.answers, self.pause = threading.Event(), {}, pause
        for port in ports:
            for each in tokens:
                threading.Thread(target=self.run, args=(port, each), daemon=True).start()

    def run(self, port, each):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        while not self.stopped.wait(self.pause):
            try:
                connection.request("GET", "/signals", headers={"Authorization": f"Bearer {each}"})
                answer = connection.getresponse()
                answer.read()
                status = answer.status
            except (OSError, http.client.HTTPException):
                connection.close()
                status = 0
            self.answers[status] = self.answers.get(status, 0) + 1


class Prometheus(Process):
    def __init__(self, config, folder):
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        arguments = ["prometheus", f"--config.file={config}", f"--storage.tsdb.path={folder}/prometheus"]
        super().__init__("prometheus", [*arguments, f"--web.listen-address=127.0.0.1:{self.port}"], folder)

    def start(self):
        super().start()
        self.answers(f"{self.url}/-/ready")

    def ask(self, path, **query):
        status, text = call("GET", f"{self.url}/api/v1/{path}?{urllib.parse.urlencode(query)}")
        if status != 200:
            raise Failed(f"prometheus: {path} {query}: {status} {text}")
        return json.loads(text)["data"]

    def query(self, expression):
        return self.ask("query", query=expression)["result"]

    def rules(self):
        return [rule | {"group": group["name"]} for group in self.ask("rules")["groups"] for rule in group["rules"]]


def need(program):
    if not shutil.which(program):
        raise Failed(f"{program} is missing; deploy/prerequisites.sh installs it")


def folder_of(path):
    folder = pathlib.Path(path)
    folder.mkdir(parents=True, exist_ok=True)
    return folder
