//! `Authorization: Bearer …` (RFC 6750 §2.1).

use futures::future::BoxFuture;
use http::header::{AUTHORIZATION, HeaderValue};

use super::Auth;
use crate::error::{Error, Result};
use crate::request::{Request, Secret};

/// A bearer token: `Authorization: Bearer <token>` (RFC 6750 §2.1).
///
/// ```
/// use headwater::auth::Bearer;
/// let auth = Bearer::new("ghp_example")?;
/// assert_eq!(format!("{auth:?}"), "Bearer { token: Secret(***), .. }");
/// # Ok::<(), headwater::Error>(())
/// ```
#[derive(Clone)]
pub struct Bearer {
    token: Secret,
    header: HeaderValue,
}

impl Bearer {
    /// Takes the token.
    ///
    /// # Errors
    /// `Config` if the token has a line break or another control character in it. It is not quoted.
    pub fn new(token: impl Into<Secret>) -> Result<Self> {
        let token = token.into();
        let header = sensitive_header(&format!("Bearer {}", token.expose()), "the bearer token")?;
        Ok(Self { token, header })
    }
}

impl Auth for Bearer {
    fn authorize<'a>(&'a self, request: &'a mut Request) -> BoxFuture<'a, Result<()>> {
        request.headers_mut().insert(AUTHORIZATION, self.header.clone());
        Box::pin(async { Ok(()) })
    }

    fn secrets(&self) -> Vec<Secret> {
        vec![self.token.clone()]
    }

    fn sent(&self) -> Vec<(&'static str, Secret)> {
        vec![("bearer", self.token.clone())]
    }
}

impl std::fmt::Debug for Bearer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Bearer").field("token", &self.token).finish_non_exhaustive()
    }
}

/// Makes a header value that its own `Debug` does not show.
pub(super) fn sensitive_header(value: &str, what: &str) -> Result<HeaderValue> {
    let mut header = HeaderValue::from_str(value)
        .map_err(|_| Error::config(format!("{what} has a line break or a control character in it")))?;
    header.set_sensitive(true);
    Ok(header)
}
