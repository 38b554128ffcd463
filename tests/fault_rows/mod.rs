//! The rows of the fault catalogue, in the order of the way that an answer takes.

pub(crate) mod connection;
pub(crate) mod framing;
pub(crate) mod h2;
pub(crate) mod pull;
pub(crate) mod table;
pub(crate) mod tls;
