//! The shell of every page.

use axum::http::header;
use axum::response::{IntoResponse, Response};
use maud::{DOCTYPE, Markup, html};

use super::assets;
use crate::problem::Problem;

/// What stands around a page's content.
pub struct Shell<'a> {
    /// The path under which the pages and their assets lie, without a trailing slash.
    pub base: &'a str,
    /// Of the page, without the product's name.
    pub title: &'a str,
    /// The product's name, behind the title in the browser's tab.
    pub product: &'a str,
    /// Navigation, as [`nav`] makes it, or whatever stands before the content; may be empty.
    pub before: Markup,
    /// Names a variant of the whole page in the stylesheet: `"plain"` is one narrow column without navigation.
    pub class: &'a str,
}

/// A whole page. The title is not in the content: that begins with its own `h1`.
pub fn page(shell: &Shell<'_>, content: &Markup) -> Response {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (shell.title) " · " (shell.product) }
                link rel="icon" href=(assets::path(shell.base, "icon.svg")) type="image/svg+xml";
                link rel="stylesheet" href=(assets::path(shell.base, "style.css"));
                script src=(assets::path(shell.base, "script.js")) defer {}
            }
            body class=(shell.class) {
                a.skip href="#main" { "Skip to content" }
                (shell.before)
                main id="main" tabindex="-1" { (content) }
            }
        }
    };
    html_response(page)
}

/// A part of a page, for the script to put in the place of the one that is there.
pub fn fragment(content: Markup) -> Response {
    html_response(content)
}

fn html_response(content: Markup) -> Response {
    ([(header::CONTENT_TYPE, "text/html; charset=utf-8")], content.into_string()).into_response()
}

/// A problem as a page, with its status.
pub fn problem(shell: &Shell<'_>, problem: &Problem) -> Response {
    let content = html! {
        h1 { (shell.title) }
        (note("bad", &sentence(&problem.detail)))
    };
    with_status(page(shell, &content), problem)
}

/// A problem where no page is expected.
pub fn bare_problem(problem: &Problem) -> Response {
    with_status(format!("{}\n", sentence(&problem.detail)).into_response(), problem)
}

/// The same answer under a problem's status.
pub fn with_status(mut response: Response, problem: &Problem) -> Response {
    *response.status_mut() = problem.status_code();
    let retry_after = problem.retry_after.and_then(|seconds| seconds.to_string().parse().ok());
    if let Some(value) = retry_after {
        response.headers_mut().insert(header::RETRY_AFTER, value);
    }
    response
}

/// A message at the top of a page: `kind` is `"good"`, `"bad"` or `"info"`.
pub fn note(kind: &str, text: &str) -> Markup {
    let role = if kind == "bad" { "alert" } else { "status" };
    html! { div class={ "note " (kind) } role=(role) { p { (text) } } }
}

/// With a capital at its beginning and a stop at its end.
pub fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(|first| first.to_uppercase().to_string()).unwrap_or_default();
    let stop = if text.ends_with(['.', '!', '?']) { "" } else { "." };
    format!("{first}{}{stop}", letters.as_str())
}

/// A destination of the navigation.
pub struct Link<'a> {
    pub href: &'a str,
    pub name: &'a str,
    /// Whether it is the page that is shown.
    pub here: bool,
}

/// Navigation beside the content; on a phone above it, folded. It works without a script, so it stands there twice and
/// the stylesheet shows one.
pub fn nav(brand: &str, home: &str, links: &[Link<'_>], end: &Markup) -> Markup {
    let list = html! {
        ul {
            @for link in links {
                li { a href=(link.href) aria-current=[link.here.then_some("page")] { (link.name) } }
            }
        }
        (end)
    };
    let here = links.iter().find(|link| link.here).map_or("Menu", |link| link.name);
    html! {
        header.bar {
            a.brand href=(home) { span.mark aria-hidden="true" {} (brand) }
            nav.wide aria-label="Pages" { (list) }
            details.narrow { summary { span.off { "Menu: " } (here) } nav aria-label="Pages" { (list) } }
        }
    }
}
