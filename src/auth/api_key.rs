//! An API key in a header or in the query.

use futures::future::BoxFuture;
use http::header::{AUTHORIZATION, HeaderName, HeaderValue};

use super::Auth;
use super::bearer::sensitive_header;
use crate::error::{Error, Result};
use crate::request::{Request, Secret};

/// An API key, in a header of its own or in a query parameter.
#[derive(Debug, Clone)]
pub struct ApiKey {
    key: Secret,
    place: Place,
}

#[derive(Debug, Clone)]
enum Place {
    Header(HeaderName, HeaderValue),
    Query(String),
}

impl ApiKey {
    /// Sends the key in a header: `X-Api-Key: <key>`.
    ///
    /// # Errors
    /// `Config` if the name is not a header name, or the key has a control character in it.
    pub fn header(name: &str, key: impl Into<Secret>) -> Result<Self> {
        let key = key.into();
        let header = HeaderName::from_bytes(name.as_bytes())
            .map_err(|_| Error::config(format!("{name:?} is not a header name")))?;
        let value = sensitive_header(key.expose(), "the API key")?;
        Ok(Self { key, place: Place::Header(header, value) })
    }

    /// Sends the key in `Authorization` behind the name of a scheme. The key alone is the secret: a server may repeat it
    /// without that name.
    pub(crate) fn scheme(scheme: &str, key: impl Into<Secret>) -> Result<Self> {
        let key = key.into();
        let value = sensitive_header(&format!("{scheme} {}", key.expose()), "the token")?;
        Ok(Self { key, place: Place::Header(AUTHORIZATION, value) })
    }

    /// Sends the key in the query: `?api_key=<key>`.
    pub fn query(name: impl Into<String>, key: impl Into<Secret>) -> Self {
        Self { key: key.into(), place: Place::Query(name.into()) }
    }
}

impl Auth for ApiKey {
    fn authorize<'a>(&'a self, request: &'a mut Request) -> BoxFuture<'a, Result<()>> {
        match &self.place {
            Place::Header(name, value) => {
                request.headers_mut().insert(name, value.clone());
            }
            Place::Query(name) => {
                *request = request.clone().with_query(name, self.key.expose());
            }
        }
        Box::pin(async { Ok(()) })
    }

    fn secrets(&self) -> Vec<Secret> {
        vec![self.key.clone()]
    }

    fn sent(&self) -> Vec<(&'static str, Secret)> {
        vec![("key", self.key.clone())]
    }

    fn query_parameters(&self) -> Vec<String> {
        match &self.place {
            Place::Header(..) => Vec::new(),
            Place::Query(name) => vec![name.clone()],
        }
    }
}
