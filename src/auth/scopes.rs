//! What a caller may do, where that is bounded.

use super::claim::Claim;

/// The names that routes ask for. They are compared as texts: their places in a catalogue may change.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Scopes {
    /// Everything.
    #[default]
    All,
    Only(Box<[Box<str>]>),
}

impl Scopes {
    /// `None`: everything.
    pub fn new<T: Into<Box<str>>>(names: Option<impl IntoIterator<Item = T>>) -> Self {
        names.map_or(Self::All, |names| Self::Only(names.into_iter().map(Into::into).collect()))
    }

    pub fn hold(&self, scope: &str) -> bool {
        match self {
            Self::All => true,
            Self::Only(names) => names.iter().any(|name| **name == *scope),
        }
    }

    /// From a claim: a text with spaces between them (RFC 8693, section 4.2), or a list. Without the claim there are
    /// none. `None`: it is something else.
    pub(super) fn of_claim(claim: Option<&Claim<'_>>) -> Option<Self> {
        let names: Option<Vec<&str>> = match claim {
            None => Some(Vec::new()),
            Some(Claim::Text(text)) => Some(text.split_ascii_whitespace().collect()),
            Some(Claim::List(list)) => list.iter().map(Claim::as_text).collect(),
            Some(_) => None,
        };
        names.map(|names| Self::new(Some(names)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_is_a_text_or_a_list_and_without_one_nothing_is_allowed() {
        let text = Claim::Text("read  write".into());
        let list = Claim::List(vec![Claim::Text("read".into()), Claim::Text("write".into())]);
        for claim in [text, list] {
            let scopes = Scopes::of_claim(Some(&claim)).unwrap();
            assert!(scopes.hold("read") && scopes.hold("write") && !scopes.hold("rea"), "{claim:?}");
        }
        assert_eq!(Scopes::of_claim(None), Some(Scopes::new(Some([""; 0]))));
        for odd in [Claim::Whole(7), Claim::Flag(true), Claim::List(vec![Claim::Whole(7)])] {
            assert_eq!(Scopes::of_claim(Some(&odd)), None, "{odd:?}");
        }
        assert!(Scopes::All.hold("anything"));
    }
}
