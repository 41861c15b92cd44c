"""Two gateways under load for ten minutes, scraped by a real Prometheus, and every alert made to ring by its cause.

    python3 long.py TOLLGATE_BINARY

What takes hours is seen by a copy of the shipped rules in which all spans are divided by FACTOR (`scaled.py`); the shipped
ones are evaluated beside it. Prints when each alert was caused, rang and ended. Exits 1 if one did not ring, did not
end, rang before anything was broken, or if a rule could not be evaluated.
"""

import json
import pathlib
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time

import faults
from scaled import scaled
from world import Failed, Gateway, Load, Prometheus, Redis, Server, Stripe, folder_of, free_port, need, token, until

FACTOR = 240
LASTS = 600
# An alert that is silent for so many seconds has ended.
PAUSE = 2
# Longer than the longest span that a start leaves traces in: two hours of the scaled clock.
CALM = 7_200 // FACTOR + 6
RULES = pathlib.Path(__file__).parents[2] / "deploy/prometheus/alerts.yml"

PROMETHEUS = """
global: {{ scrape_interval: 200ms, scrape_timeout: 200ms, evaluation_interval: 250ms }}
rule_files: ["{shipped}", "{folder}/scaled.yml"]
scrape_configs:
  - job_name: tollgate
    file_sd_configs: [{{ files: ["{folder}/targets.json"], refresh_interval: 1s }}]
"""


class Node(Gateway):
    """A gateway of the fleet, with what a fault needs of it."""

    def __init__(self, name, binary, folder):
        super().__init__(name, binary, folder)
        self.binary, self.database = binary, self.folder / "data" / "tollgate.db"
        self.plain = free_port()

    def store(self):
        return sqlite3.connect(self.database, timeout=30)

    def hang_up(self):
        self.send(signal.SIGHUP)

    def command(self, *arguments):
        subprocess.run([self.binary, *arguments, "--config", self.config], check=False, capture_output=True)


class Fleet:
    def __init__(self, binary, folder):
        self.folder, self.factor = folder, FACTOR
        self.api, self.crm = Server(), Server()
        self.redis = Redis(folder)
        self.gateways = [Node(name, binary, folder) for name in ("gateway-1", "gateway-2")]
        self.stripe = Stripe(binary, f"http://127.0.0.1:{self.gateways[0].public}/webhooks/stripe", folder)
        self.prometheus = Prometheus(folder / "prometheus.yml", folder)

    def start(self):
        self.redis.start()
        self.stripe.start()
        self.sold = self.stripe.hook("seed", {"customers": 20, "tier": "pro"})
        self.quiet = self.sold[19]
        first, second = self.gateways
        self.issue(days=90)
        keys = f'certificate = "{self.folder}/cert.pem", private_key = "{self.folder}/key.pem"'
        tls = f'tls = {{ {keys} }}\nplain_listen = ["127.0.0.1:{second.plain}"]\n'
        member = '[fleet]\nredis = "redis://127.0.0.1:{}"\nnode = "{}"\n'
        first.configure(self, more=member.format(self.redis.port, "one"))
        second.configure(self, server=tls, more=member.format(self.redis.port, "two"))
        first.start()
        second.start()
        (self.folder / "scaled.yml").write_text(scaled(RULES.read_text(), FACTOR))
        self.tell_targets(self.gateways)
        (self.folder / "prometheus.yml").write_text(PROMETHEUS.format(shipped=RULES, folder=self.folder))
        self.prometheus.start()
        tokens = [token(f"seeded_{at}", each["customer"]) for at, each in enumerate(self.sold[:4])]
        self.load = Load([first.public, second.plain], tokens, 0.05)

    def stop(self):
        for process in (self.prometheus, *self.gateways, self.redis):
            process.stop()
        self.stripe.stop(signal.SIGINT)
        self.api.stop()
        self.crm.stop()

    def issue(self, days):
        """A certificate that ends in so many days, for gateway-2."""
        subject = ["-subj", "/CN=api.example", "-addext", "subjectAltName=DNS:api.example"]
        files = ["-keyout", self.folder / "key.pem", "-out", self.folder / "cert.pem"]
        made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", str(days), *subject, *files]
        subprocess.run(made, check=True, capture_output=True)

    def certify(self, days):
        self.issue(days)
        self.gateways[1].hang_up()

    def tell_targets(self, gateways):
        targets = [f"127.0.0.1:{gateway.admin}" for gateway in gateways]
        new = self.folder / "targets.new"
        new.write_text(json.dumps([{"targets": targets}]))
        new.rename(self.folder / "targets.json")

    def operate(self, at, method, path, body=None):
        status, answer = self.gateways[at].operate(method, path, body)
        if status != 200:
            raise Failed(f"{method} {path}: {status} {answer}")
        return answer

    def tell_of_subscription(self, at):
        """An event that is answered by reading the subscription again."""
        sold = self.sold[at]
        about = {"id": sold["subscription"], "object": "subscription", "customer": sold["customer"], "status": "active"}
        status = self.gateways[0].deliver("customer.subscription.updated", at, about=about)
        if status != 200:
            raise Failed(f"the webhook answers {status}")


class Run:
    """When what was caused, rang and ended."""

    def __init__(self, fleet):
        self.fleet, self.began, self.rows = fleet, time.time(), []

    def at(self, seconds):
        if seconds is None:
            return "-"
        after = seconds - self.began
        return f"{int(after) // 60}:{after % 60:04.1f}"

    def selector(self, alert, rules):
        return f'ALERTS{{alertname="{alert}",alertstate="firing",rules="{"scaled" if rules == "scaled" else ""}"}}'

    def has_rung(self, alert, rules, since):
        seconds = int(time.time() - since) + 2
        return self.fleet.prometheus.query(f"count_over_time({self.selector(alert, rules)}[{seconds}s])")

    def rings(self, alert, rules):
        return self.fleet.prometheus.query(self.selector(alert, rules))

    def cause(self, fault):
        until(f"{fault.__doc__} can be caused", fault.ready, within=LASTS)
        for alert in fault.alerts:
            until(f"{alert} does not ring before", lambda alert=alert: not self.rings(alert, fault.rules))
        print(f"{self.at(time.time()):>8}  {fault.__doc__}", flush=True)
        fault.since = time.time()
        fault.cause()

    def wait_and_mend(self, fault):
        for alert in fault.alerts:
            rung = lambda alert=alert: self.has_rung(alert, fault.rules, fault.since)  # noqa: E731
            until(f"{alert} rings", rung, within=LASTS)
        print(f"{self.at(time.time()):>8}      all of {', '.join(fault.alerts)} rang: it is mended", flush=True)
        fault.mend()
        for alert in fault.alerts:
            until(f"{alert} ends", lambda alert=alert: not self.rings(alert, fault.rules), within=120)
        self.rows += [(alert, fault) for alert in fault.alerts]

    def one(self, kind):
        fault = kind(self.fleet)
        self.cause(fault)
        self.wait_and_mend(fault)

    def history(self, alert, rules, since):
        """When it began to ring, when it ended, and how often it rang again later."""
        query = {"query": f"count({self.selector(alert, rules)})", "start": since, "end": time.time(), "step": "250ms"}
        series = self.fleet.prometheus.ask("query_range", **query)["result"]
        instants = [float(at) for each in series for at, _ in each["values"]]
        if not instants:
            return None, None, 0
        pauses = [at for at, (one, next_one) in enumerate(zip(instants, instants[1:])) if next_one - one > PAUSE]
        return instants[0], instants[pauses[0] if pauses else -1], len(pauses)

    def table(self):
        print(f"\nspans of the scaled rules are divided by {FACTOR}; shipped: the rules as they are\n")
        print(f"{'alert':<32}{'rules':<9}{'caused':>8}{'fired':>9}{'resolved':>10}{'again':>7}  by")
        for alert, fault in self.rows:
            fired, ended, again = self.history(alert, fault.rules, fault.since)
            times = f"{self.at(fault.since):>8}{self.at(fired):>9}{self.at(ended):>10}{again or '-':>7}"
            print(f"{alert:<32}{fault.rules:<9}{times}  {fault.__doc__}")


def assert_all_evaluated(fleet):
    rules = fleet.prometheus.rules()
    wrong = [f"{rule['name']}: {rule['health']} {rule.get('lastError', '')}" for rule in rules if rule["health"] != "ok"]
    if wrong or not rules:
        raise Failed("rules that were not evaluated:\n" + "\n".join(wrong))
    broken = [
        f"{rule['name']}: {text}"
        for rule in rules
        for alert in rule.get("alerts", [])
        for text in alert["annotations"].values()
        if "error" in text.lower() and "expanding" in text or "<no value>" in text
    ]
    if broken:
        raise Failed("annotations that cannot be written:\n" + "\n".join(broken))
    return {rule["name"] for rule in rules if rule["type"] == "alerting"}


def go(fleet):
    run = Run(fleet)
    until("the start is over", lambda: time.time() - run.began > CALM, within=CALM + 5)
    early = fleet.prometheus.query(f'count by (alertname) (ALERTS{{alertstate="firing"}})')
    if early:
        raise Failed(f"rings before anything is broken: {[each['metric'] for each in early]}")
    for kind in faults.FIRST:
        run.one(kind)
    backlog = faults.LONG(fleet)
    run.cause(backlog)
    for kind in faults.MEANWHILE:
        run.one(kind)
    run.wait_and_mend(backlog)
    for kind in faults.LAST:
        run.one(kind)
    until("the time is over", lambda: time.time() - run.began > LASTS, within=LASTS, every=1)
    known = assert_all_evaluated(fleet)
    run.table()
    never = known - {alert for alert, _ in run.rows}
    print(f"\n{len(fleet.prometheus.rules())} rules, all evaluated; answers by status: {fleet.load.answers}")
    if never:
        raise Failed(f"nothing makes these ring: {sorted(never)}")


def main(binary):
    for program in ("prometheus", "redis-server", "openssl", "prlimit"):
        need(program)
    with tempfile.TemporaryDirectory() as folder:
        fleet = Fleet(binary, folder_of(folder))
        try:
            fleet.start()
            go(fleet)
        except Failed:
            for process in (*fleet.gateways, fleet.prometheus):
                print(f"--- {process.name}\n{process.last_words()}", file=sys.stderr)
            raise
        finally:
            fleet.stop()


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: long.py TOLLGATE_BINARY")
    try:
        main(sys.argv[1])
    except Failed as error:
        sys.exit(f"not every alert does its work: {error}")
