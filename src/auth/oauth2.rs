//! OAuth 2.0: client credentials, and a refresh token (RFC 6749 §4.4, §6).

use std::fmt;
use std::time::Duration;

use futures::future::BoxFuture;
use url::form_urlencoded::byte_serialize;

use super::grant::{Grant, Tokens};
use super::refresh_token::RefreshToken;
use super::renewing::{EARLY, Token};
use super::token_endpoint::{Reached, ask, endpoint, written};
use super::{Auth, Basic, TokenStore};
use crate::error::Result;
use crate::request::{Request, Secret};
use crate::transport::Transport;

/// Access tokens by OAuth 2.0: by client credentials, or by a refresh token.
///
/// A token is fetched when the first request needs it, once for all sources that share this (a clone does); it is
/// renewed a minute before its end ([`early`](Self::early)), and, once, when the API refuses it. A refresh token that
/// the server replaces (RFC 6749 §6, RFC 9700 §4.14) is used from then on, and stored before anything else is done if
/// there is a [`store`](Self::store): without one the next run would begin with a token that is worth nothing.
///
/// The endpoint is asked by POST, and redirects are not followed. It must be https, unless it is on this machine.
///
/// ```
/// use headwater::auth::OAuth2;
/// let auth = OAuth2::client_credentials("https://login.example.com/oauth/token", "my-client", "s3cret")?
///     .scope("read:orders");
/// # Ok::<(), headwater::Error>(())
/// ```
#[derive(Clone)]
pub struct OAuth2(Tokens<Client>);

/// Who asks, and how.
#[derive(Clone)]
struct Client {
    endpoint: Request,
    id: String,
    secret: Secret,
    in_body: bool,
    early: Duration,
    reached: Reached,
    /// The token that a person has granted; without one the client asks for itself.
    refresh: Option<RefreshToken>,
}

impl OAuth2 {
    /// Gets tokens for the client itself (RFC 6749 §4.4).
    ///
    /// # Errors
    /// `Config` if the URL cannot be read, or is not https and not on this machine.
    pub fn client_credentials(
        token_url: impl AsRef<str>,
        id: impl Into<String>,
        secret: impl Into<Secret>,
    ) -> Result<Self> {
        Self::new(token_url.as_ref(), id.into(), secret.into(), None)
    }

    /// Gets tokens with a refresh token that a person has granted (RFC 6749 §6).
    ///
    /// # Errors
    /// As for [`client_credentials`](Self::client_credentials).
    pub fn refresh_token(
        token_url: impl AsRef<str>,
        id: impl Into<String>,
        secret: impl Into<Secret>,
        refresh_token: impl Into<Secret>,
    ) -> Result<Self> {
        let refresh = RefreshToken::granted(refresh_token.into());
        Self::new(token_url.as_ref(), id.into(), secret.into(), Some(refresh))
    }

    fn new(token_url: &str, id: String, secret: Secret, refresh: Option<RefreshToken>) -> Result<Self> {
        let endpoint = endpoint(Request::post(token_url)?)?;
        let (in_body, early, reached) = (false, EARLY, Reached::default());
        Ok(Self(Tokens::new(Client { endpoint, id, secret, in_body, early, reached, refresh })))
    }

    /// Asks for a scope: names with blanks between them.
    #[must_use]
    pub fn scope(self, scope: impl Into<String>) -> Self {
        self.param("scope", scope)
    }

    /// Sends another parameter with the request for a token (`audience`, `resource`).
    #[must_use]
    pub fn param(self, name: &str, value: impl Into<String>) -> Self {
        self.with(|client| client.endpoint = client.endpoint.clone().with_form(name, value))
    }

    /// Sends id and secret in the body (`client_secret_post`). The default is the header (`client_secret_basic`,
    /// RFC 6749 §2.3.1).
    #[must_use]
    pub fn credentials_in_body(self) -> Self {
        self.with(|client| client.in_body = true)
    }

    /// Sets how long before its end a token is renewed. The default is a minute.
    #[must_use]
    pub fn early(self, time: Duration) -> Self {
        self.with(|client| client.early = time)
    }

    /// Keeps refresh tokens that the server replaces.
    #[must_use]
    pub fn store(self, store: impl TokenStore) -> Self {
        self.with(|client| {
            if let Some(refresh) = &mut client.refresh {
                refresh.keep_in(store);
            }
        })
    }

    /// Asks for tokens over this transport. The default is an [`Http`](crate::Http) client of its own.
    #[must_use]
    pub fn transport(self, transport: impl Transport) -> Self {
        self.with(|client| client.reached = Reached::by(transport))
    }

    fn with(self, change: impl FnOnce(&mut Client)) -> Self {
        Self(self.0.change(|client| {
            change(client);
            client.refresh = client.refresh.take().map(RefreshToken::apart);
        }))
    }
}

impl Client {
    /// The request for a token, by whom it is.
    async fn identified(&self) -> Result<Request> {
        let request = self.endpoint.clone();
        if self.in_body {
            return Ok(request
                .with_form("client_id", &self.id)
                .with_form("client_secret", self.secret.expose()));
        }
        let mut request = request;
        Basic::new(coded(&self.id), coded(self.secret.expose()))?.authorize(&mut request).await?;
        Ok(request)
    }
}

/// RFC 6749 §2.3.1: id and secret are form-encoded before they are Basic.
fn coded(text: &str) -> String {
    byte_serialize(text.as_bytes()).collect()
}

impl Grant for Client {
    const NAME: &'static str = "oauth";

    fn fetch(self) -> BoxFuture<'static, Result<Token>> {
        Box::pin(async move {
            let request = self.identified().await?;
            let ask = async |request: Request| ask(&self.reached, &request, &self.secrets()).await;
            match &self.refresh {
                None => Ok(ask(request.with_form("grant_type", "client_credentials")).await?.token),
                Some(refresh) => {
                    refresh
                        .exchange(async |token| {
                            let request = request.with_form("grant_type", "refresh_token");
                            ask(request.with_form("refresh_token", token.expose())).await
                        })
                        .await
                }
            }
        })
    }

    fn secrets(&self) -> Vec<Secret> {
        let refresh = self.refresh.iter().flat_map(RefreshToken::secrets);
        // Within base64, the two have nothing in common.
        let secret = [self.secret.clone(), coded(self.secret.expose()).into()];
        written(&self.endpoint).into_iter().chain(secret).chain(refresh).collect()
    }

    fn early(&self) -> Duration {
        self.early
    }
}

impl Auth for OAuth2 {
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

impl fmt::Debug for OAuth2 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let client = self.0.grant();
        let grant = if client.refresh.is_some() { "refresh_token" } else { "client_credentials" };
        f.debug_struct("OAuth2")
            .field("endpoint", &client.endpoint.url().host_str())
            .field("grant", &grant)
            .finish_non_exhaustive()
    }
}
