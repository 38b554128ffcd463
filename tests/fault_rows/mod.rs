//! The rows of the fault catalogue, in the order of the way that an answer takes.

pub(crate) mod connection;
pub(crate) mod pull;
pub(crate) mod table;
