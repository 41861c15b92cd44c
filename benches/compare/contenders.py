"""The proxies: how each is started, and what is asked of it before it is measured."""

import os
import sys
import urllib.error
import urllib.request

import machine
from ground import HERE, free_address, stop

NAMES = (
    "bare",
    "tollgate-hs256",
    "tollgate-rs256",
    "tollgate-es256",
    "haproxy-hs256",
    "haproxy-rs256",
    "nginx-lua-hs256",
)


class Contender:
    """A running proxy. `admin` is the address of a Tollgate's metrics, `data` its folder."""

    def __init__(self, ground, name, workers=1, **settings):
        kind, _, algorithm = name.rpartition("-") if name != "bare" else (name, "", "hs256")
        self.name, self.workers, self.algorithm = name, workers, algorithm.upper()
        self.address, self.admin = free_address(), None
        self.verifies = kind != "bare"
        self.tokens = ground.tokens(self.algorithm)
        command = getattr(self, f"{kind.split('-')[0]}_command")(ground, **settings)
        self.process = ground.start(f"{name}-{workers}", command, self.address, ground.proxy_cores)
        self.check()

    def bare_command(self, ground):
        return [ground.binary("examples/bare"), self.address, ground.upstream, str(self.workers)]

    def tollgate_command(self, ground, durability="process", flush_interval="1h"):
        self.admin = free_address()
        self.data = ground.path(f"data-{self.address}")
        public = f'public_key = {{ file = "{self.algorithm}.public" }}'
        config = self.fill(
            ground,
            "tollgate.toml",
            data=self.data,
            admin=self.admin,
            stripe=f"http://{ground.stripe}",
            durability=durability,
            flush_interval=flush_interval,
            key=f'secret = "{ground.secret}"' if self.algorithm == "HS256" else public,
        )
        return [ground.binary("tollgate"), "run", "--config", config]

    def haproxy_command(self, ground):
        key = ground.secret if self.algorithm == "HS256" else ground.path(f"{self.algorithm}.public")
        costs = os.path.join(HERE, "costs.map")
        return ["haproxy", "-db", "-f", self.fill(ground, "haproxy.cfg", key=key, costs=costs)]

    def nginx_command(self, ground):
        config = self.fill(ground, "nginx.conf", key=ground.secret, folder=ground.folder, here=HERE)
        return ["nginx", "-e", "stderr", "-c", config]

    def fill(self, ground, template, **values):
        values |= {"listen": self.address, "upstream": ground.upstream, "workers": self.workers}
        return ground.fill(template, f"{self.address}-{template}", algorithm=self.algorithm, **values)

    def pids(self):
        return machine.tree(self.process.pid)

    def stop(self):
        stop(self.process)

    def check(self):
        """A good token passes; none and a tampered one do not, where tokens are verified."""
        with open(self.tokens) as file:
            good = file.readline().strip()
        tampered = good[:-20] + ("A" if good[-20] != "A" else "B") + good[-19:]
        found = [self.status(token) for token in (good, None, tampered)]
        wanted = [200, 401, 401] if self.verifies else [200, 200, 200]
        machine.tell(f"{self.name}: {found} to a good, no and a tampered token")
        if found != wanted:
            sys.exit(f"{self.name} should have answered {wanted}")

    def status(self, token):
        request = urllib.request.Request(f"http://{self.address}/v1/items")
        if token:
            request.add_header("Authorization", f"Bearer {token}")
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return answer.status
        except urllib.error.HTTPError as refused:
            return refused.code
