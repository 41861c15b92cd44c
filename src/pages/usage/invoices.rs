//! Invoices, as the payment provider has them.

use maud::{Markup, html};

use super::answers::{Invoice, List};
use crate::domain::origin::Origin;
use crate::pages::parts::layout::{note, sentence};
use crate::pages::parts::words::{instant, money, words};
use crate::problem::Problem;

pub(super) fn panel(invoices: &Result<List<Invoice>, Problem>) -> Markup {
    html! {
        section.panel aria-labelledby="invoices" {
            h2 id="invoices" { "Invoices" }
            @match invoices {
                Err(problem) => (note("bad", &sentence(&problem.detail))),
                Ok(list) if list.data.is_empty() => p.empty { "There is no invoice yet." },
                Ok(list) => {
                    (table(list))
                    @if list.has_more {
                        p.small.quiet { "These are the latest; the payment provider's page has all of them." }
                    }
                }
            }
        }
    }
}

fn table(list: &List<Invoice>) -> Markup {
    html! {
        div.scroll tabindex="0" role="group" aria-label="Invoices" {
            table {
                caption.off { "The latest invoices" }
                thead {
                    tr {
                        th scope="col" { "Invoice" }
                        th scope="col" { "Date" }
                        th scope="col" { "State" }
                        th.num scope="col" { "Total" }
                        th scope="col" { "Open" }
                    }
                }
                tbody { @for invoice in &list.data { (row(invoice)) } }
            }
        }
    }
}

fn row(invoice: &Invoice) -> Markup {
    let name = invoice.number.as_deref().unwrap_or(&invoice.id);
    let total =
        invoice.total.as_deref().map_or_else(|| "–".to_owned(), |total| money(total, &invoice.currency));
    html! {
        tr {
            th scope="row" { (name) }
            td.nowrap { (instant(&invoice.created)) }
            td { (words(invoice.status.as_deref().unwrap_or("–"))) }
            td.num { (total) }
            td.nowrap {
                (link(invoice.hosted_invoice_url.as_deref(), "View", name))
                " "
                (link(invoice.invoice_pdf.as_deref(), "PDF", name))
            }
        }
    }
}

fn link(url: Option<&str>, label: &str, invoice: &str) -> Markup {
    let url = url.filter(|url| Origin::of(url).is_some());
    html! {
        @if let Some(url) = url {
            a href=(url) rel="noreferrer" { (label) span.off { " of invoice " (invoice) } }
        }
    }
}
