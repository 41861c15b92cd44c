"""Drives the sandbox with Stripe's own Python SDK, an implementation that shares nothing with it.

    python sandbox_sdk.py http://127.0.0.1:PORT

Exits 0 if everything is as Stripe would have it, else 1 with the first mismatch.
"""

import json
import queue
import sys
import threading
import time
import urllib.error
import urllib.request
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, HTTPServer

import stripe

FLAT_CENTS = 9_900
INCLUDED = 10_000
OVERAGE_CENTS = Decimal("2")
PERIOD_UNITS = [9_000, 999, 1, 2_345]
MINUTE = 60


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


def make_catalogue(run):
    meter = stripe.billing.Meter.create(
        display_name="API calls",
        event_name=f"api_calls_{run}",
        default_aggregation={"formula": "sum"},
    )
    expect("meter status", meter.status, "active")
    product = stripe.Product.create(name="Pro", metadata={"tier": "pro"})
    flat = stripe.Price.create(
        product=product.id,
        currency="usd",
        unit_amount=FLAT_CENTS,
        recurring={"interval": "month"},
        lookup_key=f"flat_{run}",
    )
    metered = stripe.Price.create(
        product=product.id,
        currency="usd",
        billing_scheme="tiered",
        tiers_mode="graduated",
        recurring={"interval": "month", "usage_type": "metered", "meter": meter.id},
        tiers=[
            {"up_to": INCLUDED, "unit_amount": 0},
            {"up_to": "inf", "unit_amount_decimal": OVERAGE_CENTS},
        ],
        lookup_key=f"metered_{run}",
        expand=["tiers"],
    )
    expect("last tier", metered.tiers[-1].unit_amount_decimal, OVERAGE_CENTS)
    expect("unbounded tier", metered.tiers[-1].up_to, None)
    found = stripe.Price.list(lookup_keys=[f"flat_{run}", f"metered_{run}"], active=True)
    expect("prices by lookup key", {p.id for p in found.data}, {flat.id, metered.id})
    return meter, flat, metered


def subscribe(flat, metered):
    customer = stripe.Customer.create(
        name="Alice", email="alice@example.com", metadata={"tollgate_customer": "alice"}
    )
    subscription = stripe.Subscription.create(
        customer=customer.id,
        items=[{"price": flat.id, "quantity": 1}, {"price": metered.id}],
        metadata={"tollgate_customer": "alice"},
        expand=["latest_invoice", "items.data.price.tiers"],
    )
    expect("subscription status", subscription.status, "active")
    expect("first invoice", subscription.latest_invoice.total, FLAT_CENTS)
    expect("first invoice status", subscription.latest_invoice.status, "paid")
    listed = stripe.Subscription.list(customer=customer.id, status="active")
    expect("subscriptions of the customer", [s.id for s in listed.data], [subscription.id])
    return customer, subscription


def send_usage(meter, customer, run):
    now = int(time.time())
    for index, units in enumerate(PERIOD_UNITS):
        event = stripe.billing.MeterEvent.create(
            event_name=meter.event_name,
            identifier=f"{run}-{index}",
            timestamp=now,
            payload={"stripe_customer_id": customer.id, "value": str(units)},
        )
        expect("meter event identifier", event.identifier, f"{run}-{index}")
    duplicate = expect_error(
        "duplicate identifier",
        stripe.InvalidRequestError,
        400,
        lambda: stripe.billing.MeterEvent.create(
            event_name=meter.event_name,
            identifier=f"{run}-0",
            timestamp=now,
            payload={"stripe_customer_id": customer.id, "value": "1"},
        ),
    )
    expect("duplicate code", duplicate.code, None)
    expect(
        "duplicate message",
        duplicate.user_message,
        f"An event already exists with identifier {run}-0.",
    )
    start = now // MINUTE * MINUTE
    summaries = stripe.billing.Meter.list_event_summaries(
        meter.id, customer=customer.id, start_time=start, end_time=start + 2 * MINUTE
    )
    expect("summary", sum(int(s.aggregated_value) for s in summaries.data), sum(PERIOD_UNITS))


def check_preview(customer, subscription):
    overage = (sum(PERIOD_UNITS) - INCLUDED) * OVERAGE_CENTS
    wanted = FLAT_CENTS + int(overage)
    for named in ({"customer": customer.id}, {"subscription": subscription.id}):
        preview = stripe.Invoice.create_preview(**named)
        expect("preview total", preview.total, wanted)
        expect("sum of its lines", sum(line.amount for line in preview.lines.data), wanted)
    item = preview.lines.data[-1]
    expect("line quantity", item.quantity, sum(PERIOD_UNITS) - INCLUDED)
    expect(
        "line's subscription",
        item.parent.subscription_item_details.subscription,
        subscription.id,
    )


def check_idempotency(run):
    def create(name):
        return stripe.Customer.create(name=name, idempotency_key=f"key-{run}")

    first, again = create("Bob"), create("Bob")
    expect("replayed customer", again.id, first.id)
    replayed = again.last_response.headers.get("Idempotent-Replayed")
    expect("Idempotent-Replayed", replayed, "true")
    expect_error("other parameters", stripe.IdempotencyError, 400, lambda: create("Eve"))


def check_checkout(base, flat, metered):
    session = stripe.checkout.Session.create(
        mode="subscription",
        line_items=[{"price": flat.id, "quantity": 1}, {"price": metered.id}],
        success_url=f"{base}/_sandbox/health?session={{CHECKOUT_SESSION_ID}}",
        cancel_url=f"{base}/_sandbox/health",
        customer_email="carol@example.com",
        client_reference_id="carol",
        subscription_data={"metadata": {"tollgate_customer": "carol"}},
    )
    expect("session status", session.status, "open")
    with urllib.request.urlopen(session.url) as page:
        expect("the page offers to pay", "<button" in page.read().decode(), True)
    pay = urllib.request.Request(f"{session.url}/pay", data=b"", method="POST")
    with urllib.request.urlopen(pay) as page:
        expect("return address", page.url.endswith(f"?session={session.id}"), True)
    session = stripe.checkout.Session.retrieve(session.id, expand=["subscription", "customer"])
    expect("paid session", (session.status, session.payment_status), ("complete", "paid"))
    expect("bought subscription", session.subscription.status, "active")
    expect("subscription metadata", session.subscription.metadata["tollgate_customer"], "carol")
    expect("customer email", session.customer.email, "carol@example.com")
    return session


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


def check_cards():
    customer = stripe.Customer.create(name="Dora")
    other = stripe.Customer.create(name="Eve")
    card = stripe.PaymentMethod.attach("pm_card_visa", customer=customer.id)
    expect("attached to", (card.customer, card.card.last4), (customer.id, "4242"))
    expect_error(
        "somebody else's card",
        stripe.InvalidRequestError,
        400,
        lambda: stripe.PaymentMethod.attach(card.id, customer=other.id),
    )
    missing = expect_error(
        "a foreign card in the path",
        stripe.InvalidRequestError,
        404,
        lambda: stripe.Customer.retrieve_payment_method(other.id, card.id),
    )
    expect("its code", missing.code, "resource_missing")
    own = stripe.Customer.retrieve_payment_method(customer.id, card.id)
    expect("an own card", own.id, card.id)
    listed = stripe.PaymentMethod.list(customer=customer.id, type="card")
    expect("cards", [c.id for c in listed.data], [card.id])
    expect("cards of the customer", stripe.Customer.list_payment_methods(other.id).data, [])
    changed = stripe.Customer.modify(
        customer.id, invoice_settings={"default_payment_method": card.id}
    )
    expect("default card", changed.invoice_settings.default_payment_method, card.id)
    made = stripe.PaymentMethod.create(type="card", card={"token": "tok_mastercard"})
    expect("a card of nobody", (made.customer, made.card.brand), (None, "mastercard"))
    stripe.PaymentMethod.attach(made.id, customer=customer.id)
    expect("detached", stripe.PaymentMethod.detach(made.id).customer, None)
    expect("by id", stripe.PaymentMethod.retrieve(made.id).type, "card")
    return customer


def check_declines(flat):
    customer = stripe.Customer.create(name="Fred")
    bad = stripe.PaymentMethod.attach("pm_card_chargeCustomerFail", customer=customer.id)
    order = {
        "customer": customer.id,
        "items": [{"price": flat.id}],
        "default_payment_method": bad.id,
    }
    declined = expect_error(
        "declined",
        stripe.CardError,
        402,
        lambda: stripe.Subscription.create(payment_behavior="error_if_incomplete", **order),
    )
    expect(
        "decline codes",
        (declined.code, declined.error.decline_code),
        ("card_declined", "generic_decline"),
    )
    expect("nothing made", stripe.Subscription.list(customer=customer.id, status="all").data, [])
    waiting = stripe.Subscription.create(expand=["latest_invoice"], **order)
    expect("incomplete", waiting.status, "incomplete")
    invoice = waiting.latest_invoice
    expect("unpaid", (invoice.status, invoice.attempted, invoice.attempt_count), ("open", True, 1))
    failed = stripe.PaymentIntent.list(customer=customer.id).data[0]
    expect(
        "failed payment",
        (failed.status, failed.last_payment_error.code),
        ("requires_payment_method", "card_declined"),
    )
    good = stripe.PaymentMethod.attach("pm_card_visa", customer=customer.id)
    paid = stripe.Invoice.pay(invoice.id, payment_method=good.id)
    expect("paid", (paid.status, paid.amount_paid), ("paid", FLAT_CENTS))
    active = stripe.Subscription.modify(waiting.id, default_payment_method=good.id)
    expect("active", (active.status, active.default_payment_method), ("active", good.id))


def check_purchase(base, customer):
    """A one-time payment: declined, then paid."""
    session = stripe.checkout.Session.create(
        mode="payment",
        customer=customer.id,
        line_items=[
            {
                "price_data": {
                    "currency": "usd",
                    "unit_amount": 500,
                    "product_data": {"name": "1000 credits"},
                },
                "quantity": 3,
            }
        ],
        success_url=f"{base}/_sandbox/health",
        payment_intent_data={"metadata": {"tollgate_customer": "dora"}},
        metadata={"pack": "thousand"},
        allow_promotion_codes=True,
    )
    expect("promotion codes", session.allow_promotion_codes, True)
    expect("declined", press(session, "decline"), (402, None))
    expect("paid", press(session, "pay"), (303, f"{base}/_sandbox/health"))
    session = stripe.checkout.Session.retrieve(session.id, expand=["payment_intent", "line_items"])
    intent = session.payment_intent
    expect("payment", (intent.status, intent.amount_received), ("succeeded", 1_500))
    expect("payment's metadata", intent.metadata["tollgate_customer"], "dora")
    expect("payment's customer", intent.customer, customer.id)
    expect("by id", stripe.PaymentIntent.retrieve(intent.id).id, intent.id)
    expect("session's metadata", session.metadata["pack"], "thousand")
    listed = stripe.checkout.Session.list(payment_intent=intent.id)
    expect("session by payment", [s.id for s in listed.data], [session.id])


def check_trial(base, flat):
    session = stripe.checkout.Session.create(
        mode="subscription",
        line_items=[{"price": flat.id, "quantity": 1}],
        success_url=f"{base}/_sandbox/health",
        subscription_data={"trial_period_days": 2, "metadata": {"tollgate_customer": "gina"}},
        expires_at=int(time.time()) + 3_600,
    )
    press(session, "pay")
    session = stripe.checkout.Session.retrieve(session.id, expand=["subscription"])
    expect("nothing was due", session.payment_status, "no_payment_required")
    expect("trial", session.subscription.status, "trialing")
    told = stripe.Event.list(types=["customer.subscription.trial_will_end"], limit=1).data[0]
    expect("a short trial is told of at once", told.data.object.id, session.subscription.id)
    expired = stripe.checkout.Session.create(
        mode="subscription",
        line_items=[{"price": flat.id, "quantity": 1}],
        success_url=f"{base}/_sandbox/health",
    )
    expect("expired", stripe.checkout.Session.expire(expired.id).status, "expired")


def check_portal(customer, subscription):
    portal = stripe.billing_portal.Session.create(
        customer=customer.id,
        return_url="https://shop.example/account",
        flow_data={
            "type": "subscription_cancel",
            "subscription_cancel": {"subscription": subscription.id},
        },
    )
    expect("portal", portal.flow.subscription_cancel.subscription, subscription.id)
    expect("leads back", portal.url, "https://shop.example/account")


def hook(base, path, **fields):
    body = json.dumps(fields).encode()
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(f"{base}/_sandbox/{path}", data=body, headers=headers)
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)


def check_news(base, inbox, secret, customer, subscription):
    """Events that only hooks or the calendar make, verified and parsed by the SDK."""
    hook(base, f"customers/{customer.id}/entitlements", features=["sso"])
    event, _, _ = inbox.next("entitlements.active_entitlement_summary.updated", secret)
    expect("entitled", event.data.object.entitlements.data[0].lookup_key, "sso")
    listed = stripe.entitlements.ActiveEntitlement.list(customer=customer.id)
    expect("entitlements", [e.lookup_key for e in listed.data], ["sso"])
    hook(base, f"subscriptions/{subscription.id}/upcoming")
    event, _, _ = inbox.next("invoice.upcoming", secret)
    details = event.data.object.parent.subscription_details
    expect("upcoming", details.subscription, subscription.id)
    hook(base, f"subscriptions/{subscription.id}/payment_failed")
    event, _, _ = inbox.next("invoice.payment_failed", secret)
    failed = event.data.object
    expect("failed once", (failed.attempt_count, failed.status), (1, "open"))
    expect("tried again", failed.next_payment_attempt > int(time.time()), True)
    hook(base, f"invoices/{failed.id}/attempt")
    expect("paid after all", stripe.Invoice.retrieve(failed.id).status, "paid")
    expect("well again", stripe.Subscription.retrieve(subscription.id).status, "active")


def check_webhooks(inbox, secret, session):
    event, body, signature = inbox.next("checkout.session.completed", secret)
    expect("event object", event.data.object.id, session.id)
    try:
        stripe.Webhook.construct_event(body + b" ", signature, secret)
    except stripe.SignatureVerificationError:
        pass
    else:
        raise Mismatch("a changed body passed verification")
    fetched = stripe.Event.retrieve(event.id)
    expect("event by id", fetched.type, "checkout.session.completed")
    listed = stripe.Event.list(types=["checkout.session.completed"], limit=1)
    expect("newest event", listed.data[0].id, event.id)


def check_upgrade(subscription, flat):
    """Items by id: replaced, added and deleted in one call each."""
    big = stripe.Price.create(
        product=flat.product, currency="usd", unit_amount=5 * FLAT_CENTS, recurring={"interval": "month"}
    )
    flat_item, metered_item = subscription["items"].data
    changed = stripe.Subscription.modify(
        subscription.id,
        items=[{"id": flat_item.id, "price": big.id}, {"id": metered_item.id, "deleted": True}],
        proration_behavior="always_invoice",
        payment_behavior="error_if_incomplete",
        expand=["latest_invoice"],
    )
    items = changed["items"].data
    expect("items", [(i.id, i.price.id) for i in items], [(flat_item.id, big.id)])
    invoice = changed.latest_invoice
    prorated = [line.parent.subscription_item_details.proration for line in invoice.lines.data]
    expect("prorations", (prorated, invoice.status), ([True, True], "paid"))
    back = stripe.Subscription.modify(
        subscription.id,
        items=[{"id": flat_item.id, "price": flat.id}, {"price": metered_item.price.id}],
        proration_behavior="none",
    )
    expect("added again", len(back["items"].data), 2)
    expect_error(
        "an unknown parameter",
        stripe.InvalidRequestError,
        400,
        lambda: stripe.Subscription.modify(subscription.id, prorate=True),
    )


def check_changes(subscription):
    changed = stripe.Subscription.modify(subscription.id, cancel_at_period_end=True)
    expect("still active", (changed.status, changed.cancel_at_period_end), ("active", True))
    changed = stripe.Subscription.modify(subscription.id, cancel_at_period_end=False)
    expect("cancellation undone", changed.cancel_at_period_end, False)
    at = int(time.time()) + 86_400
    changed = stripe.Subscription.modify(subscription.id, cancel_at=at)
    expect("planned end", (changed.cancel_at, changed.cancel_at_period_end), (at, False))
    ended = stripe.Subscription.cancel(subscription.id)
    expect("canceled", ended.status, "canceled")
    error = expect_error(
        "unknown subscription",
        stripe.InvalidRequestError,
        404,
        lambda: stripe.Subscription.retrieve("sub_none"),
    )
    expect("error code", error.code, "resource_missing")


def main(base):
    stripe.api_base = base
    stripe.api_key = "sk_test_sandbox"
    stripe.max_network_retries = 0
    run = str(time.time_ns())
    inbox = Inbox()
    endpoint = stripe.WebhookEndpoint.create(url=inbox.url, enabled_events=["*"])
    meter, flat, metered = make_catalogue(run)
    customer, subscription = subscribe(flat, metered)
    send_usage(meter, customer, run)
    check_preview(customer, subscription)
    check_idempotency(run)
    session = check_checkout(base, flat, metered)
    check_webhooks(inbox, endpoint.secret, session)
    buyer = check_cards()
    check_declines(flat)
    check_purchase(base, buyer)
    check_trial(base, flat)
    check_portal(customer, subscription)
    check_news(base, inbox, endpoint.secret, customer, subscription)
    check_upgrade(subscription, flat)
    check_changes(subscription)
    stripe.WebhookEndpoint.delete(endpoint.id)
    customers = list(stripe.Customer.list(limit=1).auto_paging_iter())
    expect("all pages of customers", len(customers) >= 3, True)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: sandbox_sdk.py BASE_URL")
    try:
        main(sys.argv[1].rstrip("/"))
    except (Mismatch, stripe.StripeError) as error:
        sys.exit(f"sandbox differs from Stripe: {error}")
    print("the sandbox answers as Stripe's SDK expects")
