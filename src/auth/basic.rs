//! `Authorization: Basic …` (RFC 7617).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures::future::BoxFuture;
use http::header::{AUTHORIZATION, HeaderValue};

use super::Auth;
use super::bearer::sensitive_header;
use crate::error::{Error, Result};
use crate::request::{Request, Secret};

/// A user name and a password (RFC 7617). Stripe and others take an API key as the user name, with an empty
/// password.
#[derive(Debug, Clone)]
pub struct Basic {
    user: Secret,
    password: Secret,
    pair: Secret,
    header: HeaderValue,
}

impl Basic {
    /// Takes the user name and the password.
    ///
    /// # Errors
    /// `Config` if the user name has a colon in it, or either has a control character (RFC 7617 §2).
    pub fn new(user: impl Into<Secret>, password: impl Into<Secret>) -> Result<Self> {
        let (user, password) = (user.into(), password.into());
        if user.expose().contains(':') {
            return Err(Error::config("the user name of Basic authentication has a colon in it"));
        }
        let pair = Secret::new(format!("{}:{}", user.expose(), password.expose()));
        if pair.expose().contains(|c: char| c.is_control()) {
            return Err(Error::config("the user name or password has a control character in it"));
        }
        let header =
            sensitive_header(&format!("Basic {}", STANDARD.encode(pair.expose())), "the credential")?;
        Ok(Self { user, password, pair, header })
    }
}

impl Auth for Basic {
    fn authorize<'a>(&'a self, request: &'a mut Request) -> BoxFuture<'a, Result<()>> {
        request.headers_mut().insert(AUTHORIZATION, self.header.clone());
        Box::pin(async { Ok(()) })
    }

    fn secrets(&self) -> Vec<Secret> {
        vec![self.user.clone(), self.password.clone(), self.pair.clone()]
    }

    fn sent(&self) -> Vec<(&'static str, Secret)> {
        // The longer one first: it holds the others.
        vec![("pair", self.pair.clone()), ("password", self.password.clone()), ("user", self.user.clone())]
    }
}
