//! A session: a login gives a token, and the token goes along.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use http::header::{AUTHORIZATION, HeaderName};

use super::Auth;
use super::renewing::{EARLY, Renewing, Token};
use super::token_endpoint::Reached;
use crate::error::{Error, ErrorKind, Result};
use crate::hints::Hints;
use crate::page::JsonPath;
use crate::page::walk::find;
use crate::request::{Request, Secret};
use crate::transport::{Response, Transport};

/// A session token: one request logs in, its answer gives a token, and that goes along with every request until it is
/// refused or its time is over; then the login is sent again, once.
///
/// ```
/// use headwater::{Request, auth::SessionToken};
/// let login = Request::post("https://api.example.com/login")?
///     .json(serde_json::json!({"username": "me", "password": "s3cret"}));
/// let auth = SessionToken::login(login).token_at("data.token").header("X-Auth-Token")?;
/// # Ok::<(), headwater::Error>(())
/// ```
#[derive(Clone)]
pub struct SessionToken {
    login: Request,
    basic: Option<Arc<dyn Auth>>,
    from: From,
    header: HeaderName,
    prefix: &'static str,
    lifetime: Option<Duration>,
    reached: Reached,
    renewing: Arc<std::sync::OnceLock<Renewing>>,
}

#[derive(Debug, Clone)]
enum From {
    Body(String),
    Header(String),
}

impl SessionToken {
    /// Logs in by this request. The token is taken from `token` of its JSON answer, and goes along as
    /// `Authorization: Bearer <token>`, unless said otherwise. Redirects are not followed.
    pub fn login(request: Request) -> Self {
        Self {
            login: request,
            basic: None,
            from: From::Body("token".into()),
            header: AUTHORIZATION,
            prefix: "Bearer ",
            lifetime: None,
            reached: Reached::default(),
            renewing: Arc::default(),
        }
    }

    /// Logs in with other credentials, [`Basic`](super::Basic) say.
    #[must_use]
    pub fn login_with(mut self, auth: impl Auth + 'static) -> Self {
        self.basic = Some(Arc::new(auth));
        self.apart()
    }

    /// Takes the token at a path of the JSON answer.
    #[must_use]
    pub fn token_at(mut self, path: impl Into<String>) -> Self {
        self.from = From::Body(path.into());
        self.apart()
    }

    /// Takes the token from a header of the answer.
    #[must_use]
    pub fn token_in_header(mut self, name: impl Into<String>) -> Self {
        self.from = From::Header(name.into());
        self.apart()
    }

    /// Sends the token in a header of its own, as it is.
    ///
    /// # Errors
    /// `Config` if that is not the name of a header.
    pub fn header(mut self, name: &str) -> Result<Self> {
        self.header = HeaderName::from_bytes(name.as_bytes())
            .map_err(|_| Error::config(format!("{name:?} is not a header name")))?;
        self.prefix = "";
        Ok(self.apart())
    }

    /// Says how long a token is valid: it is renewed a minute before. The default is until it is refused.
    #[must_use]
    pub fn lifetime(mut self, time: Duration) -> Self {
        self.lifetime = Some(time);
        self.apart()
    }

    /// Logs in over this transport. The default is an [`Http`](crate::Http) client of its own.
    #[must_use]
    pub fn transport(mut self, transport: impl Transport) -> Self {
        self.reached = Reached::by(transport);
        self.apart()
    }

    /// With other settings it shares no token with those that it was cloned from.
    fn apart(mut self) -> Self {
        self.renewing = Arc::default();
        self
    }

    fn renewing(&self) -> &Renewing {
        self.renewing.get_or_init(|| {
            let settings = Self { renewing: Arc::default(), ..self.clone() };
            Renewing::new(self.header.clone(), self.prefix, EARLY, move || {
                let settings = settings.clone();
                Box::pin(async move { settings.fetch().await })
            })
        })
    }

    async fn fetch(&self) -> Result<Token> {
        let mut request = self.login.clone();
        if let Some(basic) = &self.basic {
            basic.authorize(&mut request).await?;
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

impl Auth for SessionToken {
    fn authorize<'a>(&'a self, request: &'a mut Request) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move { self.renewing().authorize(request).await })
    }

    fn renew<'a>(&'a self, refused: &'a Request) -> BoxFuture<'a, Result<bool>> {
        self.renewing().refused(refused);
        Box::pin(async { Ok(true) })
    }

    fn secrets(&self) -> Vec<Secret> {
        let login = self.login.sensitive_body().into_iter().chain(self.login.sensitive_headers());
        let query = self.login.sensitive_query().into_iter().map(|(_, value)| Secret::from(value));
        let basic = self.basic.iter().flat_map(|basic| basic.secrets());
        login.chain(query).chain(basic).chain(self.renewing().secrets()).collect()
    }

    fn sent(&self) -> Vec<(&'static str, Secret)> {
        self.renewing().current().map(|token| ("session", token)).into_iter().collect()
    }
}

impl fmt::Debug for SessionToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionToken").field("login", &self.login).finish_non_exhaustive()
    }
}
