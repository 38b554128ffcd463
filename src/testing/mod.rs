//! What tests are made of: APIs without a network, and one with a real socket (feature `testing`).
//!
//! - [`Scripted`] is a transport that answers from a script, for tests on tokio's paused clock.
//! - [`MockApi`] is an HTTP server on a free loopback port that speaks six pagination dialects, with a rate
//!   limit and faults on demand, for tests, examples and benches on real time.
//!
//! - [`CrashFs`] is a file system in memory that shows what a power loss may leave, for sinks and checkpoint
//!   stores.
//! - [`sink_suite`] holds a sink, of yours too, to what a sink promises, and [`store_suite`] a checkpoint store.
//!
//! Everything is deterministic: the data depend on the name and the number of a record only, the faults on
//! the count of requests.

mod crash_fs;
pub mod mock_api;
mod scripted;
pub mod sink_suite;
#[cfg(test)]
mod spooled;
pub mod store_suite;

pub use crash_fs::{Crash, CrashFs, Image};
pub use mock_api::{Faults, MockApi, Paging, Resource};
pub use scripted::{Reply, Scripted, Seen};
