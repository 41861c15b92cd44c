"""Cards, declines, purchases, trials, the portal and the news that come of them."""

import time

import stripe

from checks import expect, expect_error, hook, press

FLAT_CENTS = 9_900


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
    expect("line items", session.line_items.data[0].quantity, 3)
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
    failed = None
    # An earlier customer's failure may arrive late.
    while failed is None or failed.customer != customer.id:
        failed = inbox.next("invoice.payment_failed", secret)[0].data.object
    expect("failed once", (failed.attempt_count, failed.status), (1, "open"))
    expect("tried again", failed.next_payment_attempt > int(time.time()), True)
    hook(base, f"invoices/{failed.id}/attempt")
    expect("paid after all", stripe.Invoice.retrieve(failed.id).status, "paid")
    expect("well again", stripe.Subscription.retrieve(subscription.id).status, "active")
