"""Drives the sandbox with Stripe's own Python SDK, an implementation that shares nothing with it.

    python sandbox_sdk.py http://127.0.0.1:PORT

Exits 0 if everything is as Stripe would have it, else 1 with the first mismatch.
"""

import sys
import time
import urllib.request
from decimal import Decimal

import stripe

from checks import Inbox, Mismatch, expect, expect_error
from payments import (
    FLAT_CENTS,
    check_cards,
    check_declines,
    check_news,
    check_portal,
    check_purchase,
    check_trial,
)

INCLUDED = 10_000
OVERAGE_CENTS = Decimal("2")
PERIOD_UNITS = [9_000, 999, 1, 2_345]
MINUTE = 60


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
    expect_error(
        "another amount",
        stripe.InvalidRequestError,
        400,
        lambda: stripe.Price.modify(flat.id, **{"unit_amount": FLAT_CENTS + 1}),
    )
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
        product=flat.product,
        currency="usd",
        unit_amount=5 * FLAT_CENTS,
        recurring={"interval": "month"},
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
