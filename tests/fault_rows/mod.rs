//! The rows of the fault catalogue, in the order of the way that an answer takes.

pub(crate) mod body;
pub(crate) mod connection;
pub(crate) mod framing;
pub(crate) mod h2;
pub(crate) mod json;
pub(crate) mod limits;
pub(crate) mod odd;
pub(crate) mod paging;
pub(crate) mod pull;
pub(crate) mod redirects;
pub(crate) mod runs;
pub(crate) mod status;
pub(crate) mod table;
pub(crate) mod tls;
