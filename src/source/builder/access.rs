//! Who asks, and where it may lead.

use std::sync::Arc;

use super::SourceBuilder;
use crate::auth::{ApiKey, Auth, Basic, Bearer};
use crate::error::{Error, Result};
use crate::request::Secret;

impl SourceBuilder {
    /// Sends credentials, to the origin of the URL only.
    pub fn auth(mut self, auth: impl Auth + 'static) -> Self {
        self.auth = Some(Ok(Arc::new(auth)));
        self
    }

    fn try_auth<A: Auth + 'static>(mut self, auth: Result<A>) -> Self {
        self.auth = Some(auth.map(|auth| Arc::new(auth) as Arc<dyn Auth>));
        self
    }

    /// Shares credentials with other sources.
    pub(crate) fn authorized(mut self, auth: Arc<dyn Auth>) -> Self {
        self.auth = Some(Ok(auth));
        self
    }

    /// Makes `build` give this error, of an address to which the credentials may not go.
    pub(crate) fn refused(self, error: Error) -> Self {
        self.change(|_| Err(error))
    }

    /// Sends `Authorization: Bearer <token>`.
    pub fn bearer(self, token: impl Into<Secret>) -> Self {
        self.try_auth(Bearer::new(token))
    }

    /// Sends a user name and a password.
    pub fn basic(self, user: impl Into<Secret>, password: impl Into<Secret>) -> Self {
        self.try_auth(Basic::new(user, password))
    }

    /// Sends an API key in a header.
    pub fn api_key_header(self, name: &str, key: impl Into<Secret>) -> Self {
        self.try_auth(ApiKey::header(name, key))
    }

    /// Sends an API key in the query.
    pub fn api_key_query(self, name: &str, key: impl Into<Secret>) -> Self {
        self.auth(ApiKey::query(name, key))
    }

    /// Allows next links and redirects to another origin; see [`Pages::allow_origin`](crate::Pages::allow_origin).
    pub fn allow_origin(mut self, url: impl Into<String>) -> Self {
        self.settings.allowed.push(url.into());
        self
    }

    /// Leaves scheme, host and port out of what the checkpoint remembers, so that a run goes on though the
    /// API has another address now: behind a port-forward, say, or a mock on a free port.
    pub fn ignore_origin_changes(mut self) -> Self {
        self.ignore_origin_changes = true;
        self
    }
}
