//! A session: a login gives a token, and the token goes along.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use http::header::{AUTHORIZATION, HeaderName};

use super::Auth;
use super::grant::{Grant, Tokens};
use super::renewing::Token;
use super::token_endpoint::{Reached, endpoint, written};
use crate::error::{Error, ErrorKind, Result};
use crate::hints::Hints;
use crate::page::JsonPath;
use crate::page::walk::find;
use crate::request::{Request, Secret};
use crate::transport::{Response, Transport};

/// A session token: one request logs in, its answer gives a token, and that goes along with every request until it is
/// refused or its time is over; then the login is sent again, once. The login must be https, or on this machine.
///
/// ```
/// use headwater::{Request, auth::SessionToken};
/// let login = Request::post("https://api.example.com/login")?
///     .json(serde_json::json!({"username": "me", "password": "s3cret"}));
/// let auth = SessionToken::login(login)?.token_at("data.token").header("X-Auth-Token")?;
/// # Ok::<(), headwater::Error>(())
/// ```
#[derive(Clone)]
pub struct SessionToken(Tokens<Login>);

/// How the token is got, and where it goes.
#[derive(Clone)]
struct Login {
    request: Request,
    with: Option<Arc<dyn Auth>>,
    from: From,
    header: HeaderName,
    prefix: &'static str,
    lifetime: Option<Duration>,
    reached: Reached,
}

#[derive(Debug, Clone)]
enum From {
    Body(String),
    Header(String),
}

impl SessionToken {
    /// Logs in by this request. The token is taken from `token` of its JSON answer, and goes along as
    /// `Authorization: Bearer <token>`, unless said otherwise. Redirects are not followed.
    ///
    /// # Errors
    /// `Config` if the URL is neither https nor on this machine.
    pub fn login(request: Request) -> Result<Self> {
        Ok(Self(Tokens::new(Login {
            request: endpoint(request)?,
            with: None,
            from: From::Body("token".into()),
            header: AUTHORIZATION,
            prefix: "Bearer ",
            lifetime: None,
            reached: Reached::default(),
        })))
    }

    /// Logs in with other credentials, [`Basic`](super::Basic) say.
    #[must_use]
    pub fn login_with(self, auth: impl Auth + 'static) -> Self {
        self.with(|login| login.with = Some(Arc::new(auth)))
    }

    /// Takes the token at a path of the JSON answer.
    #[must_use]
    pub fn token_at(self, path: impl Into<String>) -> Self {
        self.with(|login| login.from = From::Body(path.into()))
    }

    /// Takes the token from a header of the answer.
    #[must_use]
    pub fn token_in_header(self, name: impl Into<String>) -> Self {
        self.with(|login| login.from = From::Header(name.into()))
    }

    /// Sends the token in a header of its own, as it is.
    ///
    /// # Errors
    /// `Config` if that is not the name of a header.
    pub fn header(self, name: &str) -> Result<Self> {
        let header = HeaderName::from_bytes(name.as_bytes())
            .map_err(|_| Error::config(format!("{name:?} is not a header name")))?;
        Ok(self.with(|login| (login.header, login.prefix) = (header, "")))
    }

    /// Says how long a token is valid: it is renewed a minute before. The default is until it is refused.
    #[must_use]
    pub fn lifetime(self, time: Duration) -> Self {
        self.with(|login| login.lifetime = Some(time))
    }

    /// Logs in over this transport. The default is an [`Http`](crate::Http) client of its own.
    #[must_use]
    pub fn transport(self, transport: impl Transport) -> Self {
        self.with(|login| login.reached = Reached::by(transport))
    }

    fn with(self, change: impl FnOnce(&mut Login)) -> Self {
        Self(self.0.change(change))
    }
}

impl Login {
    async fn log_in(&self) -> Result<Token> {
        let mut request = self.request.clone();
        if let Some(with) = &self.with {
            with.authorize(&mut request).await?;
        }
        let response = self.reached.send(&request).await?;
        let status = response.status;
        if !status.is_success() {
            let hints = Hints::read(&response.headers, response.received_at);
            let what = format!("the login failed with status {status}");
            let error = match status.as_u16() {
                429 => Error::new(ErrorKind::RateLimited, what).transient(),
                408 | 500..=599 => Error::new(ErrorKind::Status, what).transient(),
                _ => Error::new(ErrorKind::Unauthorized, what).advice("check what the login is sent with"),
            };
            return Err(error.at(|context| (context.hints, context.status) = (hints, Some(status))));
        }
        // Nothing of the answer is quoted: it is made of secrets.
        let access = self.token_of(&response)?.ok_or_else(|| {
            let place = match &self.from {
                From::Body(path) => format!("\"{path}\""),
                From::Header(name) => format!("the header {name}"),
            };
            Error::new(ErrorKind::Unauthorized, format!("the answer to the login has no token at {place}"))
        })?;
        Ok(Token { access, lifetime: self.lifetime })
    }

    fn token_of(&self, response: &Response) -> Result<Option<Secret>> {
        let found = match &self.from {
            From::Header(name) => {
                response.headers.get(name.as_str()).and_then(|value| value.to_str().ok()).map(str::to_owned)
            }
            From::Body(path) => {
                let text = std::str::from_utf8(&response.body).unwrap_or_default();
                let found = find(&JsonPath::parse(path)?, text).ok().flatten();
                found.and_then(|text| serde_json::from_str::<String>(text).ok())
            }
        };
        Ok(found.filter(|token| !token.is_empty()).map(Secret::from))
    }
}

impl Grant for Login {
    const NAME: &'static str = "session";

    fn fetch(self) -> BoxFuture<'static, Result<Token>> {
        Box::pin(async move { self.log_in().await })
    }

    fn secrets(&self) -> Vec<Secret> {
        let written = written(&self.request);
        written.into_iter().chain(self.with.iter().flat_map(|with| with.secrets())).collect()
    }

    fn header(&self) -> (HeaderName, &'static str) {
        (self.header.clone(), self.prefix)
    }
}

impl Auth for SessionToken {
    fn authorize<'a>(&'a self, request: &'a mut Request) -> BoxFuture<'a, Result<()>> {
        self.0.authorize(request)
    }

    fn renew<'a>(&'a self, refused: &'a Request) -> BoxFuture<'a, Result<bool>> {
        self.0.renew(refused)
    }

    fn secrets(&self) -> Vec<Secret> {
        self.0.secrets()
    }

    fn sent(&self) -> Vec<(&'static str, Secret)> {
        self.0.sent()
    }
}

impl fmt::Debug for SessionToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionToken")
            .field("login", &self.0.grant().request.url().host_str())
            .finish_non_exhaustive()
    }
}
