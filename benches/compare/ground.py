"""What every measurement stands on: a folder, the cores, keys and tokens, an upstream and a local Stripe.

Everything that is started ends with the `with` block, and the folder goes with it.
"""

import contextlib
import json
import os
import secrets
import shutil
import signal
import socket
import string
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request

import machine

HERE = os.path.dirname(os.path.abspath(__file__))
SUBJECTS = 1_000
ALGORITHMS = ("HS256", "RS256", "ES256")
START_WITHIN = 30
STOP_WITHIN = 10

# Loopback is never behind a proxy.
urllib.request.install_opener(urllib.request.build_opener(urllib.request.ProxyHandler({})))


class Template(string.Template):
    """`@{name}`: the configurations' own languages use the dollar."""

    delimiter = "@"


class Ground:
    def __init__(self, binaries, workers):
        self.binaries = binaries
        self.exits = contextlib.ExitStack()
        cores = sorted(os.sched_getaffinity(0))
        # Whether proxy and load have cores of their own.
        self.apart = len(cores) > workers
        self.proxy_cores = cores[:workers] if self.apart else cores
        self.load_cores = cores[workers:] if self.apart else cores

    def __enter__(self):
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
        try:
            self.prepare()
        except BaseException:
            self.exits.close()
            raise
        return self

    def __exit__(self, *_):
        self.exits.close()

    def prepare(self):
        cores = self.proxy_cores + self.load_cores
        idle = machine.busy_seconds(cores)
        time.sleep(1)
        if (busy := machine.busy_seconds(cores) - idle) > 0.1:
            machine.tell(f"something else is running, {busy:.0%} of a core: the figures will be too high")
        self.folder = tempfile.mkdtemp(prefix="tollgate-compare-")
        self.exits.callback(shutil.rmtree, self.folder, ignore_errors=True)
        # nginx's workers are not root.
        os.chmod(self.folder, 0o755)
        # Inherited by all that is started, but for proxies.
        os.sched_setaffinity(0, self.load_cores)
        self.upstream = free_address()
        self.start("origin", [self.binary("examples/origin"), self.upstream], self.upstream)
        self.stripe = free_address()
        self.start("stripe", [self.binary("tollgate"), "sandbox", "--listen", self.stripe], self.stripe)
        self.make_subjects()
        self.make_keys()

    def where(self):
        if self.apart:
            proxy, load = name_cores(self.proxy_cores), name_cores(self.load_cores)
            return f"proxy alone on {proxy}, load and upstream on {load}"
        return "load and upstream share the proxy's cores, so that rates are lower than they could be"

    def binary(self, name):
        return os.path.join(self.binaries, name)

    def path(self, name):
        return os.path.join(self.folder, name)

    def start(self, name, command, address, cores=None):
        """Starts a process and waits until it listens."""
        pin = (lambda: os.sched_setaffinity(0, cores)) if cores else None
        with open(self.path(f"{name}.out"), "ab") as out:
            process = subprocess.Popen(
                command, stdout=out, stderr=out, cwd=self.folder, start_new_session=True, preexec_fn=pin
            )
        self.exits.callback(stop, process)
        deadline = time.monotonic() + START_WITHIN
        while not listens(address):
            if process.poll() is not None or time.monotonic() > deadline:
                with open(self.path(f"{name}.out")) as out:
                    sys.exit(f"{name} did not start:\n{out.read()[-2000:]}")
            time.sleep(0.05)
        return process

    def fill(self, template, name, **values):
        """Writes a configuration and answers its path."""
        with open(os.path.join(HERE, template)) as file:
            text = Template(file.read()).substitute(values)
        with open(self.path(name), "w") as file:
            file.write(text)
        return self.path(name)

    def make_subjects(self):
        meter = {"display_name": "units", "event_name": "units", "default_aggregation[formula]": "sum"}
        self.ask_stripe("/v1/billing/meters", meter)
        with open(self.path("subjects"), "w") as file:
            for number in range(SUBJECTS):
                customer = self.ask_stripe("/v1/customers", {"name": f"user-{number}"})
                file.write(f"user-{number} {customer['id']}\n")

    def ask_stripe(self, path, form):
        request = urllib.request.Request(f"http://{self.stripe}{path}", urllib.parse.urlencode(form).encode())
        request.add_header("Authorization", "Bearer sk_test_compare")
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer)

    def make_keys(self):
        self.secret = secrets.token_hex(32)
        with open(self.path("HS256.key"), "w") as file:
            file.write(self.secret)
        shutil.copy(self.path("HS256.key"), self.path("HS256.public"))
        kinds = {"RS256": ["RSA", "rsa_keygen_bits:2048"], "ES256": ["EC", "ec_paramgen_curve:P-256"]}
        for name, (kind, option) in kinds.items():
            private, public = self.path(f"{name}.key"), self.path(f"{name}.public")
            made = ["openssl", "genpkey", "-algorithm", kind, "-pkeyopt", option, "-out", private + ".pem"]
            subprocess.run(made, check=True, stderr=subprocess.DEVNULL)
            der = ["-topk8", "-nocrypt", "-outform", "DER", "-out", private]
            subprocess.run(["openssl", "pkcs8", "-in", private + ".pem", *der], check=True)
            subprocess.run(["openssl", "pkey", "-in", private + ".pem", "-pubout", "-out", public], check=True)

    def tokens(self, algorithm, count=SUBJECTS):
        """A file of tokens over the subjects in rotation; files of different lengths share none."""
        path = self.path(f"{algorithm}.{count}.tokens")
        if not os.path.exists(path):
            command = [self.binary("examples/tokens"), "sign", algorithm, self.path(f"{algorithm}.key")]
            with open(path, "w") as out:
                subprocess.run([*command, str(count), self.path("subjects")], stdout=out, check=True)
        return path


def stop(process):
    """With all that it has started. An interrupt is what ends every contender without waiting for clients."""
    for sign in (signal.SIGINT, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, sign)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(STOP_WITHIN)


def name_cores(numbers):
    return ("core " if len(numbers) == 1 else "cores ") + ", ".join(map(str, numbers))


def free_address():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{listener.getsockname()[1]}"


def listens(address):
    host, port = address.split(":")
    with socket.socket() as client:
        return client.connect_ex((host, int(port))) == 0
