//! Lists of the admin API on a page: all that was found, or a part at a time.

use maud::{Markup, html};
use serde::de::DeserializeOwned;

use super::answers::List;
use super::api::{Api, with_query};
use super::frame::wrong;
use crate::problem::Problem;

/// A list that is shown a part at a time.
pub struct Listing<'a> {
    /// The page that shows it.
    pub page: &'static str,
    /// Where it is asked for.
    pub endpoint: &'static str,
    /// Whom it is asked for, as page and endpoint both call it; what is empty restricts nothing.
    pub filter: &'a [(&'a str, &'a str)],
    /// Where the part begins; empty for the first one.
    pub cursor: &'a str,
    /// The most rows of a part.
    pub limit: &'static str,
}

impl Listing<'_> {
    /// A panel with one part and links to others. `nothing` is said of an empty list.
    pub async fn panel<T: DeserializeOwned>(
        &self,
        api: &Api,
        nothing: &str,
        rows: impl FnOnce(&[T]) -> Markup,
    ) -> Markup {
        let part = [("cursor", self.cursor), ("limit", self.limit)];
        let asked: Vec<_> = self.filter.iter().copied().chain(part).collect();
        let found: Result<List<T>, Problem> = api.get(&with_query(self.endpoint, &asked)).await;
        html! { section.panel {
            (all(&found, nothing, rows))
            @if let Ok(list) = &found { (self.others(list.next_cursor.as_deref())) }
        } }
    }

    /// Links to the first and the next part.
    fn others(&self, next: Option<&str>) -> Markup {
        let with = |cursor: &str| {
            let pairs: Vec<_> = self.filter.iter().copied().chain([("cursor", cursor)]).collect();
            with_query(self.page, &pairs)
        };
        let is_first = self.cursor.is_empty();
        html! {
            @if !is_first || next.is_some() {
                nav.pages aria-label="Parts of the list" {
                    @if is_first { span {} } @else { a.button href=(with("")) { "First" } }
                    @if let Some(next) = next { a.button href=(with(next)) { "Next" } }
                }
            }
        }
    }
}

/// All rows that were found, or why there are none.
pub fn all<T>(found: &Result<List<T>, Problem>, nothing: &str, rows: impl FnOnce(&[T]) -> Markup) -> Markup {
    match found {
        Err(problem) => wrong(problem),
        Ok(list) => html! {
            (missing(list.nodes_missing.as_deref()))
            @if list.data.is_empty() { p.empty { (nothing) } } @else { (rows(&list.data)) }
        },
    }
}

/// Of a fleet whose nodes have not all answered.
pub fn missing(nodes: Option<&[String]>) -> Markup {
    let nodes = nodes.unwrap_or_default();
    html! { @if !nodes.is_empty() { p.quiet { "Not answered by: " (nodes.join(", ")) "." } } }
}
