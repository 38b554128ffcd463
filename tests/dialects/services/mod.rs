//! Work management, files, mail, payments, accounts, directories, monitoring and search.

mod accounting;
mod braintree;
mod enterprise;
mod files;
mod identity;
mod mail;
mod monitoring;
mod payment_platforms;
mod scholarly;
mod search_engines;
mod work_management;

use super::row::{self, Row};
use super::server;

pub(crate) fn rows() -> Vec<Row> {
    let groups = [
        work_management::rows(),
        files::rows(),
        mail::rows(),
        braintree::rows(),
        payment_platforms::rows(),
        accounting::rows(),
        enterprise::rows(),
        identity::rows(),
        monitoring::rows(),
        search_engines::rows(),
        scholarly::rows(),
    ];
    groups.into_iter().flatten().collect()
}
