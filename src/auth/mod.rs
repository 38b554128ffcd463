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
mod grant;
#[cfg(feature = "jwt")]
mod jwt;
mod oauth2;
mod refresh_token;
mod renewing;
mod session;
#[cfg(feature = "sigv4")]
mod sigv4;
mod token_endpoint;
mod token_store;

use std::fmt;
use std::sync::Arc;

use futures::future::BoxFuture;

pub use api_key::ApiKey;
pub use basic::Basic;
pub use bearer::Bearer;
#[cfg(feature = "jwt")]
pub use jwt::JwtGrant;
pub use oauth2::OAuth2;
pub use session::SessionToken;
#[cfg(feature = "sigv4")]
pub use sigv4::SigV4;
pub use token_store::{FileTokenStore, TokenStore};

use crate::error::Result;
use crate::request::{Request, Secret};

/// A way to put credentials on a request.
pub trait Auth: fmt::Debug + Send + Sync {
    /// Puts the credentials on a request that is about to be sent to their origin.
    ///
    /// # Errors
    /// Whatever keeps the credentials from being had. What [`secrets`](Self::secrets) names is wiped from its texts.
    fn authorize<'a>(&'a self, request: &'a mut Request) -> BoxFuture<'a, Result<()>>;

    /// Gets new credentials after the server has refused the request as it was sent (401, or an answer that a rule
    /// takes for one); false if there is nothing to be renewed. The request is then sent once more.
    ///
    /// `refused` shows which credentials were refused: when several requests come back at once, only the first one
    /// that brings the current credentials has to renew them. The default renews nothing.
    ///
    /// # Errors
    /// Whatever keeps new credentials from being had.
    fn renew<'a>(&'a self, refused: &'a Request) -> BoxFuture<'a, Result<bool>> {
        let _ = refused;
        Box::pin(async { Ok(false) })
    }

    /// The values that must be wiped from errors, logs and reports.
    ///
    /// It is called again for every error, so it may change from one time to the next. Whoever gets tokens at run
    /// time names every one that is still valid, or was sent not long ago: an answer that repeats it may yet come
    /// in. What was needed to get them belongs here too: a client secret, a refresh token.
    fn secrets(&self) -> Vec<Secret>;

    /// The credentials that go along with each request, each with a name of its own (ASCII letters and digits) that
    /// stays when the value changes. A server may repeat them in its next links: there a word with that name
    /// stands for them in a checkpoint, and they are filled in again for the home origin, and for no other. What is not
    /// sent to the API itself, a client secret or a refresh token, does not belong here. The default is none: a
    /// link that repeats a credential is then an error.
    fn sent(&self) -> Vec<(&'static str, Secret)> {
        Vec::new()
    }

    /// The query parameters that carry the credentials. They are taken out of next links, so that a server
    /// which repeats them there does not put them into a checkpoint.
    fn query_parameters(&self) -> Vec<String> {
        Vec::new()
    }
}

impl<A: Auth + ?Sized> Auth for Arc<A> {
    fn authorize<'a>(&'a self, request: &'a mut Request) -> BoxFuture<'a, Result<()>> {
        (**self).authorize(request)
    }

    fn renew<'a>(&'a self, refused: &'a Request) -> BoxFuture<'a, Result<bool>> {
        (**self).renew(refused)
    }

    fn secrets(&self) -> Vec<Secret> {
        (**self).secrets()
    }

    fn sent(&self) -> Vec<(&'static str, Secret)> {
        (**self).sent()
    }

    fn query_parameters(&self) -> Vec<String> {
        (**self).query_parameters()
    }
}
