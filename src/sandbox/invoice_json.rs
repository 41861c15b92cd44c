//! An invoice as Stripe writes it since 2025-03-31.basil: its subscription under `parent`.

use serde_json::{Value, json};

use super::invoices::{Invoice, InvoiceStatus};
use super::table::list;

impl Invoice {
    pub fn total(&self) -> i64 {
        self.lines.iter().map(|line| line.amount).sum()
    }

    pub fn json(&self, base_url: &str) -> Value {
        let (total, paid) = (self.total(), self.status == InvoiceStatus::Paid);
        // What is given back lowers no later invoice: the sandbox keeps no balance.
        let due = total.max(0);
        let subscription = self.subscription.as_deref();
        let lines = self.lines.iter().map(|line| line.json(&self.id, subscription, &self.currency));
        let mut json = json!({
            "id": self.id,
            "object": "invoice",
            "amount_due": due,
            "amount_paid": if paid { due } else { 0 },
            "amount_remaining": if paid { 0 } else { due },
            "attempt_count": self.attempts,
            "attempted": paid || self.attempts > 0,
            "auto_advance": self.next_attempt.is_some(),
            "billing_reason": self.reason.name(),
            "created": self.created,
            "currency": self.currency,
            "customer": self.customer,
            "hosted_invoice_url": format!("{base_url}/invoice/{}", self.id),
            "lines": list(&format!("/v1/invoices/{}/lines", self.id), lines.collect(), false),
            "next_payment_attempt": self.next_attempt,
            "number": format!("SANDBOX-{:04}", self.number),
            "parent": self.parent_json(),
            "period_end": self.lines.iter().map(|line| line.period.end).max().unwrap_or(self.created),
            "period_start": self.lines.iter().map(|line| line.period.start).min().unwrap_or(self.created),
            "status": self.status.name(),
            "status_transitions": {
                "finalized_at": self.created,
                "marked_uncollectible_at": null,
                "paid_at": self.paid_at,
                "voided_at": null,
            },
            "subtotal": total,
            "total": total,
        });
        if let (Value::Object(fields), Value::Object(constant)) = (&mut json, constant_fields()) {
            fields.extend(constant);
        }
        json
    }

    fn parent_json(&self) -> Value {
        let Some(subscription) = &self.subscription else {
            return Value::Null;
        };
        json!({
            "quote_details": null,
            "subscription_details": {"metadata": self.metadata, "subscription": subscription},
            "type": "subscription_details",
        })
    }
}

/// What Stripe's clients expect and the sandbox never varies.
fn constant_fields() -> Value {
    json!({
        "amount_overpaid": 0,
        "amount_shipping": 0,
        "automatic_tax": {"enabled": false, "liability": null, "provider": null, "status": null},
        "collection_method": "charge_automatically",
        "default_tax_rates": [],
        "description": null,
        "discounts": [],
        "due_date": null,
        "invoice_pdf": null,
        "issuer": {"type": "self"},
        "livemode": false,
        "metadata": {},
        "payment_settings": {"payment_method_options": null, "payment_method_types": null},
        "post_payment_credit_notes_amount": 0,
        "pre_payment_credit_notes_amount": 0,
        "starting_balance": 0,
    })
}
