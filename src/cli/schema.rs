//! `tollgate schema`: the configuration's JSON Schema, from which editors complete.

use super::{Failure, print};

pub(super) fn schema() -> Result<(), Failure> {
    print(&format!("{}\n", serde_json::to_string_pretty(&crate::config::schema())?))
}
