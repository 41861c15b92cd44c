//! What commands read beside a running gateway: the configuration, the store, the ledger. Nothing is made or changed.

use std::cell::RefCell;
use std::collections::HashMap;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;

use anyhow::{Context as _, anyhow};

use crate::config::Config;
use crate::ledger::{Disk, LedgerId, Lost, Survey};
use crate::store::{LostRecords, StoreError, StoreReader};

use super::{Failure, load};

/// Names that are remembered: a ledger may name millions of customers and members.
const MAX_NAMES: usize = 50_000;

pub(super) struct Books {
    pub config: Config,
    pub store: StoreReader,
    pub ledger: LedgerId,
    names: RefCell<HashMap<Named, Option<Rc<str>>>>,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Named {
    /// A route, tier, meter or member.
    Name(u32),
    Customer(u32),
}

impl Books {
    pub fn open(config: &Path) -> Result<Self, Failure> {
        Self::of(load(config)?)
    }

    pub fn of(config: Config) -> Result<Self, Failure> {
        let store = StoreReader::open(&config.server.data_dir)?;
        let ledger =
            store.ledger_id()?.ok_or_else(|| anyhow!("the store knows no ledger: start the gateway once"))?;
        Ok(Self { config, store, ledger: LedgerId(ledger), names: RefCell::default() })
    }

    /// The ledger as it is now.
    pub fn survey(&self) -> anyhow::Result<Survey> {
        let folder = self.config.server.data_dir.join("ledger");
        let unreadable = || format!("the ledger {} cannot be read", folder.display());
        let disk = Disk::open_read_only(&folder).with_context(unreadable)?;
        Survey::new(Arc::new(disk), self.ledger).with_context(unreadable)
    }

    /// What losses of power took.
    pub fn losses(&self) -> Result<Vec<Lost>, StoreError> {
        let known = |LostRecords { from, to, segment, offset }| Lost { segment, offset, from, to };
        Ok(self.store.lost()?.into_iter().map(known).collect())
    }

    /// The name of a route, tier, meter or member; none for 0, which stands for none.
    pub fn name(&self, number: u32) -> Result<Option<Rc<str>>, StoreError> {
        if number == 0 {
            return Ok(None);
        }
        self.remembered(Named::Name(number), || self.store.name(number))
    }

    /// The name of a customer; none when it has been erased.
    pub fn customer(&self, number: u32) -> Result<Option<Rc<str>>, StoreError> {
        self.remembered(Named::Customer(number), || self.store.customer_name(number))
    }

    fn remembered(
        &self,
        named: Named,
        read: impl FnOnce() -> Result<Option<String>, StoreError>,
    ) -> Result<Option<Rc<str>>, StoreError> {
        let mut known = self.names.borrow_mut();
        if let Some(name) = known.get(&named) {
            return Ok(name.clone());
        }
        if known.len() >= MAX_NAMES {
            known.clear();
        }
        let name: Option<Rc<str>> = read()?.map(Into::into);
        known.insert(named, name.clone());
        Ok(name)
    }
}
