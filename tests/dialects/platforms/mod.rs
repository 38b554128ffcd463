//! The platforms that companies run on: code, payments, offices, customers, clouds, media.

mod atlassian;
mod aws;
mod code_hosting;
mod communities;
mod crm;
mod google;
mod intercom;
mod media;
mod microsoft;
mod payments;
mod s3;
mod shops;
mod social;
mod workplace;
mod youtube;
mod zendesk;

use super::row::{self, Row};
use super::server;

/// Every row of these, in the groups of their files.
pub(crate) fn rows() -> Vec<Row> {
    let groups = [
        code_hosting::rows(),
        payments::rows(),
        shops::rows(),
        workplace::rows(),
        atlassian::rows(),
        crm::rows(),
        zendesk::rows(),
        intercom::rows(),
        google::rows(),
        youtube::rows(),
        microsoft::rows(),
        aws::rows(),
        s3::rows(),
        social::rows(),
        communities::rows(),
        media::rows(),
    ];
    groups.into_iter().flatten().collect()
}
