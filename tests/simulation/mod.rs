//! The simulation, one idea per file.

pub(crate) mod answers;
pub(crate) mod credentials;
pub(crate) mod dialects;
pub(crate) mod disk;
pub(crate) mod faults;
pub(crate) mod history;
pub(crate) mod hub;
pub(crate) mod items;
pub(crate) mod judge;
pub(crate) mod life;
pub(crate) mod limits;
pub(crate) mod listing;
pub(crate) mod mutants;
pub(crate) mod oracle;
pub(crate) mod pipelines;
pub(crate) mod server;
pub(crate) mod tally;
pub(crate) mod trace;
pub(crate) mod waits;
pub(crate) mod watch;
pub(crate) mod world;
