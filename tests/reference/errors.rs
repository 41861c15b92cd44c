//! Every code that can be answered instead of what was asked for.

use tollgate::problem::{Code, Problem};

use crate::{Written as _, assert_page, cell, heading};

const ABOUT: &str = "\
Every error is `application/problem+json` (RFC 9457): `type`, `title`, `status`, `detail` (a sentence that
says what to do), `code`, `request_id`, and where they apply `violated-policies` (names of the limits that
refused), `reset_at` (when the limit is renewed, RFC 3339) and `upgrade_url`. Programs go by `code`: it never
changes its meaning. `type` is `about:blank`, but for quotas and rates
(`https://iana.org/assignments/http-problem-types#quota-exceeded`) and for `fleet_unavailable`
(`…#temporary-reduced-capacity`).

A refusal is never charged and leaves the connection open. 401 comes with `WWW-Authenticate`, 405 with
`Allow`; 429, 503 and `spend_cap_reached` with `Retry-After` in seconds. A call of gRPC is told the status of
the last column, and `detail` as `grpc-message`.
";

#[test]
fn the_page_of_errors_is_what_the_code_answers() {
    let mut page = heading("Errors", "src/problem.rs", ABOUT);
    page.push_str("\n| code | status | when | what to do | gRPC |\n|---|---|---|---|---|\n");
    let mut codes = Code::ALL.to_vec();
    codes.sort_by_key(|code| code.status());
    for code in codes {
        let grpc = Problem::new(code, "").grpc_status();
        let (when, advice) = (cell(code.when()), cell(code.advice()));
        page.add(&format!("| `{}` | {} | {when} | {advice} | {grpc} |\n", code.as_str(), code.status()));
    }
    assert_page("docs/reference/errors.md", &page);
}

#[test]
fn every_code_says_when_it_comes_and_what_to_do() {
    for code in Code::ALL {
        assert!(code.when().ends_with('.') && code.advice().ends_with('.'), "{}", code.as_str());
        assert!(!code.advice().starts_with('→'), "{}", code.as_str());
    }
}
