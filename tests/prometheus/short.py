"""A real Prometheus, with the shipped configuration and rules, scrapes a real gateway.

    python3 short.py TOLLGATE_BINARY

Exits 0 if every rule was evaluated without an error, every query of the dashboard is answered, and nothing rings at a
gateway that is well; else 1 with what is not so.
"""

import json
import pathlib
import sys
import tempfile

import dashboards
from world import Failed, Gateway, Load, Prometheus, Redis, Server, Stripe, folder_of, need, token, until

SHIPPED = pathlib.Path(__file__).parents[2] / "deploy"


class Small:
    """One gateway of a fleet, and what it needs."""

    def __init__(self, binary, folder):
        self.api, self.crm = Server(), Server()
        self.redis = Redis(folder)
        self.gateway = Gateway("gateway-1", binary, folder)
        self.stripe = Stripe(binary, f"http://127.0.0.1:{self.gateway.public}/webhooks/stripe", folder)
        self.prometheus = Prometheus(folder / "prometheus.yml", folder)

    def configuration(self):
        """The shipped one, but for its targets, its pace and where its rules lie."""
        text = (SHIPPED / "prometheus/prometheus.yml").read_text()
        for ours, theirs in [
            ('targets: ["gateway-1:9090", "gateway-2:9090"]', f'targets: ["127.0.0.1:{self.gateway.admin}"]'),
            ("scrape_interval: 15s", "scrape_interval: 500ms"),
            ("evaluation_interval: 15s", "evaluation_interval: 500ms"),
            ("[alerts.yml]", f"[{SHIPPED / 'prometheus/alerts.yml'}]"),
        ]:
            if ours not in text:
                raise Failed(f"prometheus.yml has no longer {ours!r}")
            text = text.replace(ours, theirs)
        return text

    def start(self, folder):
        self.redis.start()
        self.stripe.start()
        fleet = f'[fleet]\nredis = "redis://127.0.0.1:{self.redis.port}"\nnode = "one"\n'
        self.gateway.configure(self, more=fleet)
        self.gateway.start()
        (folder / "prometheus.yml").write_text(self.configuration())
        self.prometheus.start()

    def stop(self):
        for process in (self.prometheus, self.gateway, self.stripe, self.redis):
            process.stop()
        self.api.stop()
        self.crm.stop()


def check(world):
    prometheus = world.prometheus
    Load([world.gateway.public], [token("acme")], 0.02)
    until("Prometheus has scraped", lambda: prometheus.query("tollgate_build_info"))
    until("requests are counted", lambda: prometheus.query("rate(tollgate_requests_total[5m]) > 0"))
    rules = until("every rule was evaluated", lambda: evaluated(prometheus.rules()))
    wrong = [f"{rule['name']}: {rule['health']} {rule.get('lastError', '')}" for rule in rules if rule["health"] != "ok"]
    if wrong:
        raise Failed("rules that cannot be evaluated:\n" + "\n".join(wrong))
    ringing = [rule["name"] for rule in rules if rule.get("state") == "firing"]
    if ringing:
        raise Failed(f"these ring although nothing is wrong: {ringing}")
    dashboard = json.loads((SHIPPED / "grafana/dashboards/tollgate.json").read_text())
    asked = dashboards.expressions(dashboard, {"job": "tollgate", "instance": ".+"})
    for query in asked:
        prometheus.query(query)
    print(f"{len(rules)} rules were evaluated, and {len(asked)} queries of the dashboard answered")


def evaluated(rules):
    done = [rule for rule in rules if rule["health"] != "unknown"]
    return rules if rules and len(done) == len(rules) else None


def main(binary):
    for program in ("prometheus", "redis-server"):
        need(program)
    with tempfile.TemporaryDirectory() as folder:
        folder = folder_of(folder)
        world = Small(binary, folder)
        try:
            world.start(folder)
            check(world)
        finally:
            world.stop()


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: short.py TOLLGATE_BINARY")
    try:
        main(sys.argv[1])
    except Failed as error:
        sys.exit(f"Prometheus and the gateway do not fit: {error}")
