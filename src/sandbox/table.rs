//! Objects of one kind, in the order of their creation, found by id or by the customer they belong to.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Bound::{Excluded, Unbounded};

use serde_json::{Value, json};

use super::error::ApiError;
use super::params::Params;

const DEFAULT_LIMIT: u64 = 10;
const MAX_LIMIT: u64 = 100;

pub trait Row {
    /// Stripe's word for it in "No such …".
    const NOUN: &'static str;

    fn id(&self) -> &str;

    /// The customer it is listed under.
    fn owner(&self) -> Option<&str> {
        None
    }
}

#[derive(Debug)]
pub struct Table<T> {
    rows: BTreeMap<u64, T>,
    by_id: HashMap<String, u64>,
    by_owner: HashMap<String, BTreeSet<u64>>,
    next: u64,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self { rows: BTreeMap::new(), by_id: HashMap::new(), by_owner: HashMap::new(), next: 0 }
    }
}

impl<T: Row> Table<T> {
    pub fn insert(&mut self, row: T) {
        self.next += 1;
        self.by_id.insert(row.id().to_owned(), self.next);
        if let Some(owner) = row.owner() {
            self.by_owner.entry(owner.to_owned()).or_default().insert(self.next);
        }
        self.rows.insert(self.next, row);
    }

    pub fn len(&self) -> usize {
        self.rows.len()
    }

    pub fn get(&self, id: &str) -> Option<&T> {
        self.rows.get(self.by_id.get(id)?)
    }

    pub fn get_mut(&mut self, id: &str) -> Option<&mut T> {
        self.rows.get_mut(self.by_id.get(id)?)
    }

    /// The row that a path names.
    pub fn find(&self, id: &str) -> Result<&T, ApiError> {
        self.get(id).ok_or_else(|| ApiError::not_found(T::NOUN, id))
    }

    pub fn find_mut(&mut self, id: &str) -> Result<&mut T, ApiError> {
        self.get_mut(id).ok_or_else(|| ApiError::not_found(T::NOUN, id))
    }

    /// The row that a parameter names.
    pub fn referenced(&self, id: &str, param: &str) -> Result<&T, ApiError> {
        self.get(id).ok_or_else(|| ApiError::no_such_reference(T::NOUN, id, param))
    }

    pub fn remove(&mut self, id: &str) -> Option<T> {
        let at = self.by_id.remove(id)?;
        let row = self.rows.remove(&at)?;
        if let Some(rows) = row.owner().and_then(|owner| self.by_owner.get_mut(owner)) {
            rows.remove(&at);
        }
        Some(row)
    }

    /// Drops the oldest rows beyond a bound.
    pub fn keep_newest(&mut self, bound: usize) {
        while self.rows.len() > bound {
            let Some((_, row)) = self.rows.pop_first() else {
                return;
            };
            self.by_id.remove(row.id());
        }
    }

    /// All rows, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.rows.values()
    }

    /// A customer's rows, oldest first.
    pub fn owned_by(&self, owner: &str) -> impl Iterator<Item = &T> {
        let rows = self.by_owner.get(owner).into_iter().flatten();
        rows.filter_map(|at| self.rows.get(at))
    }

    /// One page, newest first, and whether there is more.
    pub fn page(
        &self,
        page: &Page,
        owner: Option<&str>,
        keep: impl Fn(&T) -> bool,
    ) -> Result<(Vec<&T>, bool), ApiError> {
        let cursor = |id: &Option<String>, param| match id {
            None => Ok(None),
            Some(id) => match self.by_id.get(id) {
                Some(at) => Ok(Some(*at)),
                None => Err(ApiError::no_such_reference(T::NOUN, id, param)),
            },
        };
        let before = cursor(&page.ending_before, "ending_before")?;
        let after = cursor(&page.starting_after, "starting_after")?;
        let range = (before.map_or(Unbounded, Excluded), after.map_or(Unbounded, Excluded));
        if let (Some(before), Some(after)) = (before, after)
            && before >= after
        {
            return Ok((Vec::new(), false));
        }

        let candidates: Box<dyn DoubleEndedIterator<Item = &T>> = match owner {
            None => Box::new(self.rows.range(range).map(|(_, row)| row)),
            Some(owner) => match self.by_owner.get(owner) {
                None => return Ok((Vec::new(), false)),
                Some(rows) => Box::new(rows.range(range).filter_map(|at| self.rows.get(at))),
            },
        };
        let kept = candidates.filter(|row| keep(row));
        let mut found: Vec<&T> = if before.is_some() {
            kept.take(page.limit + 1).collect()
        } else {
            kept.rev().take(page.limit + 1).collect()
        };
        let has_more = found.len() > page.limit;
        found.truncate(page.limit);
        if before.is_some() {
            found.reverse();
        }
        Ok((found, has_more))
    }
}

/// What a list request asks for.
#[derive(Debug)]
pub struct Page {
    pub limit: usize,
    pub starting_after: Option<String>,
    pub ending_before: Option<String>,
}

impl Page {
    pub fn read(params: &Params) -> Result<Self, ApiError> {
        let limit = params.count("limit")?.unwrap_or(DEFAULT_LIMIT);
        if !(1..=MAX_LIMIT).contains(&limit) {
            let message = "The limit must be between 1 and 100.";
            return Err(ApiError::parameter("limit", "parameter_invalid_integer", message));
        }
        Ok(Self {
            limit: usize::try_from(limit).unwrap_or(100),
            starting_after: params.owned("starting_after"),
            ending_before: params.owned("ending_before"),
        })
    }
}

/// Stripe's list object.
pub fn list(url: &str, data: Vec<Value>, has_more: bool) -> Value {
    let mut list = json!({"object": "list", "url": url, "has_more": has_more});
    list["data"] = Value::Array(data);
    list
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Thing(String, &'static str);

    impl Row for Thing {
        const NOUN: &'static str = "thing";

        fn id(&self) -> &str {
            &self.0
        }

        fn owner(&self) -> Option<&str> {
            Some(self.1)
        }
    }

    fn five() -> Table<Thing> {
        let mut table = Table::default();
        for n in 1..=5 {
            let owner = if n % 2 == 0 { "even" } else { "odd" };
            table.insert(Thing(n.to_string(), owner));
        }
        table
    }

    fn ids(table: &Table<Thing>, query: &str, owner: Option<&str>) -> (String, bool) {
        let page = Page::read(&Params::decode(query).expect("valid")).expect("valid");
        let (rows, more) = table.page(&page, owner, |_| true).expect("valid");
        (rows.iter().map(|row| row.id()).collect(), more)
    }

    #[test]
    fn pages_run_from_the_newest_to_the_oldest() {
        let table = five();
        assert_eq!(ids(&table, "limit=2", None), ("54".into(), true));
        assert_eq!(ids(&table, "limit=2&starting_after=4", None), ("32".into(), true));
        assert_eq!(ids(&table, "limit=2&starting_after=2", None), ("1".into(), false));
        assert_eq!(ids(&table, "limit=2&ending_before=2", None), ("43".into(), true));
    }

    #[test]
    fn a_customers_rows_are_paged_alone_and_vanish_when_removed() {
        let mut table = five();
        assert_eq!(ids(&table, "limit=2", Some("odd")), ("53".into(), true));
        table.remove("5");
        assert_eq!(ids(&table, "limit=2", Some("odd")), ("31".into(), false));
        assert_eq!(ids(&table, "", Some("nobody")), (String::new(), false));
    }

    #[test]
    fn limits_outside_one_to_a_hundred_are_refused() {
        for query in ["limit=0", "limit=101", "limit=x"] {
            assert!(Page::read(&Params::decode(query).expect("valid")).is_err());
        }
    }
}
