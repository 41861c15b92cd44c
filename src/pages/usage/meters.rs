//! Usage against what the plan includes, meter by meter.

use maud::{Markup, html};

use super::answers::{Bound, MeterUsage, Overage, Status};
use crate::pages::parts::words::{money, number, words};

pub(super) fn panel(status: &Status) -> Markup {
    html! {
        section.panel aria-labelledby="usage" {
            h2 id="usage" { "Usage in this period" }
            @for (name, usage) in &status.usage {
                (meter(name, usage, &status.overage))
            }
            p.small.quiet {
                "Projections are linear: the units so far, times the period's length over the time that has gone, at \
                 least a day. What is to come draws on included units, then on credits, then it is overage. "
                @if status.overage.cap.is_some() { "Beyond the spend cap requests are refused." }
            }
        }
    }
}

fn meter(name: &str, usage: &MeterUsage, overage: &Overage) -> Markup {
    let title = words(name);
    html! {
        div.measure {
            h3 { (title) }
            @match (&usage.included, &usage.remaining) {
                (&Bound::Units(included), &Bound::Units(remaining)) => {
                    @let used = included.saturating_sub(remaining);
                    (bar(&title, used, included))
                    p {
                        strong { (units(used)) } " of " (units(included)) " included units used"
                        @if remaining > 0 { " (" (usage.usage_percentage) " %), " (units(remaining)) " left" }
                        "."
                        @if usage.current > used { " " (units(usage.current)) " units in all." }
                    }
                }
                _ => p { strong { (units(usage.current)) } " units used; no limit." },
            }
            p.quiet {
                @if usage.overage > 0 {
                    "Overage so far: " (units(usage.overage)) " units, "
                    (money(&usage.overage_amount, &overage.currency)) ". "
                }
                "By the period's end: " (units(usage.projected)) " units"
                @if usage.projected_overage > 0 {
                    ", " (units(usage.projected_overage)) " of them overage, "
                    (money(&usage.projected_overage_amount, &overage.currency))
                }
                "."
            }
        }
    }
}

/// Yellow from four fifths on, red where all is used.
fn bar(title: &str, used: u64, included: u64) -> Markup {
    let (low, high) = (included - included / 5, included.saturating_sub(1));
    html! {
        meter min="0" max=(included.max(1)) low=(low) high=(high.max(low)) optimum="0" value=(used)
            aria-label={ (title) ": " (units(used)) " of " (units(included)) " included units" } {}
    }
}

fn units(units: u64) -> String {
    number(i64::try_from(units).unwrap_or(i64::MAX))
}
