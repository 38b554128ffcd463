//! The platforms that companies run on: code, payments, offices, customers, clouds, media.

mod atlassian;
mod code_hosting;
mod payments;
mod vendor;

use super::row::{self, Row};

/// Every row of these, in the groups of their files.
pub(crate) fn rows() -> Vec<Row> {
    [code_hosting::rows(), payments::rows(), atlassian::rows()].into_iter().flatten().collect()
}
