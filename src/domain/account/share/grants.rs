//! Grants that have been spent here, and may be left elsewhere.

use super::super::Account;
use super::Claim;
use crate::domain::credits::Lot;
use crate::domain::lease::Pool;

impl Account {
    /// The same account with grants of which nothing is left here: others may have some of them, and are to know what
    /// was used.
    #[must_use]
    pub fn with_spent(mut self, granted: impl IntoIterator<Item = Lot>) -> Self {
        let Some(share) = self.share_mut() else { return self };
        for lot in granted {
            if share.grant(lot.grant).is_none() {
                share.claims.push(Claim::new(Pool::Lot(lot.grant), 0, lot.units));
                share.grants.push(lot);
            }
        }
        self
    }
}
