//! Credentials: who is asking.
//!
//! A credential is put on a request at the last moment, and only when the URL is of the origin that it was
//! given for (the crate's redirect and next-link rules see to that). It is never part of a [`Request`]
//! template, a position or a checkpoint.
//!
//! Add a scheme by implementing [`Auth`].

mod api_key;
mod basic;
mod bearer;

use std::fmt;

use futures::future::BoxFuture;

pub use api_key::ApiKey;
pub use basic::Basic;
pub use bearer::Bearer;

use crate::error::Result;
use crate::request::{Request, Secret};

/// A way to put credentials on a request.
pub trait Auth: fmt::Debug + Send + Sync {
    /// Puts the credentials on a request that is about to be sent to their origin.
    ///
    /// # Errors
    /// Whatever keeps the credentials from being had. The error must not quote them.
    fn authorize<'a>(&'a self, request: &'a mut Request) -> BoxFuture<'a, Result<()>>;

    /// The values that must be wiped from errors, logs and reports.
    fn secrets(&self) -> Vec<Secret>;

    /// The query parameters that carry the credentials. They are taken out of next links, so that a server
    /// which repeats them there does not put them into a checkpoint.
    fn query_parameters(&self) -> Vec<String> {
        Vec::new()
    }
}
