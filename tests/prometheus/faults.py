"""What makes each alert ring, and what ends it."""

import sqlite3
import subprocess
import threading
import time

from world import call, until


class Fault:
    """What is broken, how it is mended, and the alerts that say so. `rules` names the copy that must ring."""

    alerts = ()
    rules = "scaled"

    def __init__(self, fleet):
        self.fleet = fleet

    def cause(self):
        raise NotImplementedError

    def mend(self):
        """Nothing, where it ends by itself."""

    def ready(self):
        """What must have happened before."""
        return True


class RefusedMeterEvents(Fault):
    """Stripe refuses meter events for good"""

    alerts = ("TollgateOutboxDead",)

    def cause(self):
        self.fleet.stripe.plan("refused", operation="meter_events.create", status=400)

    def mend(self):
        self.fleet.stripe.mend("refused")

        def none_is_dead():
            for gateway in self.fleet.gateways:
                gateway.command("outbox", "retry")
            return all(gateway.metric("tollgate_outbox_dead") == 0 for gateway in self.fleet.gateways)

        until("all meter events are sent again", none_is_dead)


class ForeignUsage(Fault):
    """Stripe's meter holds what no ledger knows"""

    alerts = ("TollgateReconcileDifference",)
    identifier = "nobody-sent-this"

    def cause(self):
        self.fleet.stripe.api("POST", "/v1/billing/meter_events", {
            "event_name": "api_calls", "identifier": self.identifier, "timestamp": int(time.time()) - 120,
            "payload[stripe_customer_id]": self.fleet.quiet["customer"], "payload[value]": 7,
        })
        self.reconcile()

    def mend(self):
        self.fleet.stripe.api("POST", "/v1/billing/meter_event_adjustments", {
            "event_name": "api_calls", "type": "cancel", "cancel[identifier]": self.identifier,
        })
        self.reconcile()

    def reconcile(self):
        self.fleet.operate(0, "POST", "/admin/reconcile", {"period": "current", "repair": False})


class Backlog(Fault):
    """Stripe takes no meter events for long (429)"""

    alerts = ("TollgateOutboxOld", "TollgateOutboxNearWindow")

    def cause(self):
        self.fleet.stripe.plan("slow", operation="meter_events.create", status=429)

    def mend(self):
        self.fleet.stripe.mend("slow")


class BadSignatures(Fault):
    """webhooks are signed with another secret"""

    alerts = ("TollgateWebhooksNoneTaken", "TollgateWebhooksFailing")

    def cause(self):
        for number in range(12):
            self.fleet.gateways[0].deliver("product.updated", number, secret="whsec_rolled")

    def mend(self):
        for number in range(3):
            assert self.fleet.gateways[0].deliver("product.created", number) == 200


class DeclinedPayments(Fault):
    """banks decline, and the target of messages is away"""

    alerts = ("TollgatePaymentsFailing", "TollgateMessagesGivenUp")

    def cause(self):
        self.fleet.crm.status = 500
        for each in self.fleet.sold[5:9]:
            self.fleet.stripe.hook(f"subscriptions/{each['subscription']}/payment_failed", {"x": 1})
        until("a message is given up", self.hurried)

    def hurried(self):
        """Pauses between the eight tries take 83 minutes: they are passed over."""
        with self.fleet.gateways[0].store() as store:
            store.execute("UPDATE deliveries SET next_try_at = 0 WHERE state = 'pending'")
        ringing = "sum(tollgate_notices_total{outcome='failed'}) > 0"
        return self.fleet.prometheus.query(ringing)

    def mend(self):
        self.fleet.crm.status = 200


class UnreadableSubscription(Fault):
    """Stripe refuses to show a subscription that an event is about"""

    alerts = ("TollgateWebhookEventsFailed",)

    def cause(self):
        self.fleet.stripe.plan("unreadable", operation="subscriptions.*", status=400)
        self.fleet.tell_of_subscription(1)

    def mend(self):
        self.fleet.stripe.mend("unreadable")
        failed = self.fleet.operate(0, "GET", "/admin/webhooks?status=failed")["data"]
        for event in failed:
            self.fleet.operate(0, "POST", f"/admin/webhooks/{event['id']}/replay")


class StripeAway(Fault):
    """Stripe answers 500 to everything"""

    alerts = ("TollgateStripeCircuitOpen", "TollgateWebhooksLate", "TollgateSyncFailed")

    def cause(self):
        self.fleet.stripe.plan("away", first=True, operation="*", status=500)
        self.fleet.tell_of_subscription(2)
        threading.Thread(target=self.sync, daemon=True).start()

    def mend(self):
        self.fleet.stripe.mend("away")
        until("a sync ends well", lambda: self.sync()[0] == 200)

    def sync(self):
        return self.fleet.gateways[0].operate("POST", "/admin/sync")


class BadReload(Fault):
    """the configuration has a mistake"""

    alerts = ("TollgateConfigRejected",)

    def cause(self):
        gateway = self.fleet.gateways[0]
        self.before = gateway.config.read_text()
        gateway.config.write_text(self.before + "\n[nonsense]\n")
        gateway.hang_up()

    def mend(self):
        self.fleet.gateways[0].config.write_text(self.before)
        self.fleet.gateways[0].hang_up()


class ShortCertificate(Fault):
    """a certificate of two days"""

    alerts = ("TollgateCertificateExpiresSoon", "TollgateCertificateExpires")
    # What a certificate may be away from its end is days: no pace of the clock makes it shorter.
    rules = "shipped"

    def cause(self):
        self.fleet.certify(days=2)

    def mend(self):
        self.fleet.certify(days=90)


class ApiAway(Fault):
    """the API behind the gateways is away"""

    alerts = ("TollgateUpstreamDown", "TollgateUpstreamFailing", "TollgateUpstreamLost")

    def cause(self):
        self.fleet.api.stop()

    def mend(self):
        self.fleet.api.start()


class FullDisk(Fault):
    """no file of a gateway can grow"""

    alerts = ("TollgateLedgerErrors", "TollgateLedgerUnavailable", "TollgateGatewayErrors")

    def cause(self):
        self.limit("0:unlimited")

    def mend(self):
        self.limit("unlimited:unlimited")

    def limit(self, size):
        process = str(self.fleet.gateways[1].process.pid)
        subprocess.run(["prlimit", "--pid", process, f"--fsize={size}"], check=True)


class HeldStore(Fault):
    """another process holds tollgate.db"""

    alerts = ("TollgateUsageNotFolded", "TollgateWebhookAnswersSlow")

    def cause(self):
        self.store = sqlite3.connect(self.fleet.gateways[0].database, isolation_level=None, check_same_thread=False)
        self.store.execute("BEGIN IMMEDIATE")
        for number in range(2):
            arguments = ("product.deleted", number)
            threading.Thread(target=self.fleet.gateways[0].deliver, args=arguments, daemon=True).start()

    def mend(self):
        self.store.execute("ROLLBACK")
        self.store.close()


class RedisAway(Fault):
    """Redis is killed, and comes back empty"""

    alerts = ("TollgateRedisLost",)

    def cause(self):
        self.fleet.redis.kill()

    def mend(self):
        self.fleet.redis.start()


class KilledGateway(Fault):
    """a gateway is killed"""

    alerts = ("TollgateDown",)

    def cause(self):
        self.fleet.gateways[1].kill()

    def mend(self):
        self.fleet.gateways[1].start()


class NoTargets(Fault):
    """nobody tells Prometheus of gateways any more"""

    alerts = ("TollgateAbsent",)

    def cause(self):
        self.fleet.tell_targets([])

    def mend(self):
        self.fleet.tell_targets(self.fleet.gateways)


class Cancellations(Fault):
    """six customers cancel within a moment"""

    alerts = ("TollgateCancellationSpike",)

    def ready(self):
        """A day before, on this clock."""
        day_before = f"scaled:tollgate_subscriptions_canceled:max offset {27 * 3600 // self.fleet.factor + 2}s"
        return self.fleet.prometheus.query(day_before)

    def cause(self):
        for each in self.fleet.sold[10:16]:
            self.fleet.stripe.api("DELETE", f"/v1/subscriptions/{each['subscription']}")


# What takes long is begun early and mended late: the rest happens meanwhile.
FIRST = [RefusedMeterEvents, ForeignUsage]
LONG = Backlog
MEANWHILE = [
    BadSignatures, UnreadableSubscription, StripeAway, DeclinedPayments, BadReload, ShortCertificate, ApiAway,
    FullDisk, HeldStore, RedisAway, KilledGateway, NoTargets,
]
LAST = [Cancellations]
