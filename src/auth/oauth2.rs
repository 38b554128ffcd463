//! OAuth 2.0: client credentials, and a refresh token (RFC 6749 §4.4, §6).

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::future::BoxFuture;
use http::header::AUTHORIZATION;
use url::form_urlencoded::byte_serialize;

use super::renewing::{EARLY, Renewing, Token};
use super::token_endpoint::{Reached, ask};
use super::{Auth, Basic, TokenStore};
use crate::error::{Error, Result};
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
pub struct OAuth2 {
    settings: Settings,
    grant: Grant,
    running: Arc<Running>,
}

/// What is made at the first use, and shared from then on.
#[derive(Default)]
struct Running {
    renewing: Mutex<Option<Renewing>>,
    /// The refresh token of the moment, and those before.
    refresh: Arc<Mutex<Vec<Secret>>>,
}

#[derive(Clone)]
struct Settings {
    endpoint: Request,
    id: String,
    secret: Secret,
    in_body: bool,
    early: Duration,
    reached: Reached,
    store: Option<Arc<dyn TokenStore>>,
}

#[derive(Clone)]
enum Grant {
    ClientCredentials,
    RefreshToken(Secret),
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
        Self::new(token_url.as_ref(), id.into(), secret.into(), Grant::ClientCredentials)
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
        Self::new(token_url.as_ref(), id.into(), secret.into(), Grant::RefreshToken(refresh_token.into()))
    }

    fn new(token_url: &str, id: String, secret: Secret, grant: Grant) -> Result<Self> {
        let endpoint = endpoint(token_url)?;
        let settings = Settings {
            endpoint,
            id,
            secret,
            in_body: false,
            early: EARLY,
            reached: Reached::default(),
            store: None,
        };
        Ok(Self { settings, grant, running: Arc::default() })
    }

    /// Asks for a scope: names with blanks between them.
    #[must_use]
    pub fn scope(self, scope: impl Into<String>) -> Self {
        self.param("scope", scope)
    }

    /// Sends another parameter with the request for a token (`audience`, `resource`).
    #[must_use]
    pub fn param(mut self, name: &str, value: impl Into<String>) -> Self {
        self.settings.endpoint = self.settings.endpoint.with_form(name, value);
        self.apart()
    }

    /// Sends id and secret in the body (`client_secret_post`). The default is the header (`client_secret_basic`,
    /// RFC 6749 §2.3.1).
    #[must_use]
    pub fn credentials_in_body(mut self) -> Self {
        self.settings.in_body = true;
        self.apart()
    }

    /// Sets how long before its end a token is renewed. The default is a minute.
    #[must_use]
    pub fn early(mut self, time: Duration) -> Self {
        self.settings.early = time;
        self.apart()
    }

    /// Keeps refresh tokens that the server replaces.
    #[must_use]
    pub fn store(mut self, store: impl TokenStore) -> Self {
        self.settings.store = Some(Arc::new(store));
        self.apart()
    }

    /// Asks for tokens over this transport. The default is an [`Http`](crate::Http) client of its own.
    #[must_use]
    pub fn transport(mut self, transport: impl Transport) -> Self {
        self.settings.reached = Reached::by(transport);
        self.apart()
    }

    /// With other settings it shares no token with those that it was cloned from.
    fn apart(mut self) -> Self {
        self.running = Arc::default();
        self
    }

    fn renewing(&self) -> Renewing {
        let mut renewing = self.running.renewing.lock().unwrap_or_else(PoisonError::into_inner);
        let made = renewing.get_or_insert_with(|| {
            let (settings, grant, refresh) =
                (self.settings.clone(), self.grant.clone(), self.running.refresh.clone());
            Renewing::new(AUTHORIZATION, "Bearer ", self.settings.early, move || {
                Box::pin(fetch(settings.clone(), grant.clone(), refresh.clone()))
            })
        });
        made.clone()
    }
}

/// A request for a token: only to https, or to this machine.
pub(super) fn endpoint(url: &str) -> Result<Request> {
    let request = Request::post(url)?.repeatable().header("Accept", "application/json")?;
    let is_here = match request.url().host() {
        Some(url::Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    if request.url().scheme() == "https" || is_here {
        return Ok(request);
    }
    Err(Error::config("tokens are only asked for over https (RFC 6749 §3.2)"))
}

async fn fetch(settings: Settings, grant: Grant, known: Arc<Mutex<Vec<Secret>>>) -> Result<Token> {
    let lock = || known.lock().unwrap_or_else(PoisonError::into_inner);
    let mut request = settings.endpoint.clone();
    let mut secrets = vec![settings.secret.clone()];
    if settings.in_body {
        request =
            request.with_form("client_id", &settings.id).with_form("client_secret", settings.secret.expose());
    } else {
        // RFC 6749 §2.3.1: both are form-encoded first.
        let coded = |text: &str| byte_serialize(text.as_bytes()).collect::<String>();
        Basic::new(coded(&settings.id), coded(settings.secret.expose()))?.authorize(&mut request).await?;
    }
    let given = match &grant {
        Grant::ClientCredentials => None,
        Grant::RefreshToken(given) => Some(given),
    };
    let Some(given) = given else {
        let request = request.with_form("grant_type", "client_credentials");
        return ask(&settings.reached, &request, &secrets).await.map(|granted| granted.token);
    };
    let newest = lock().last().cloned();
    let refresh = match (newest, &settings.store) {
        (Some(newest), _) => newest,
        (None, Some(store)) => store.load(given).await?.unwrap_or_else(|| given.clone()),
        (None, None) => given.clone(),
    };
    if lock().last().is_none_or(|last| last.expose() != refresh.expose()) {
        lock().push(refresh.clone());
    }
    secrets.extend(lock().iter().cloned());
    let request =
        request.with_form("grant_type", "refresh_token").with_form("refresh_token", refresh.expose());
    let granted = ask(&settings.reached, &request, &secrets).await?;
    if let Some(next) = granted.refresh.filter(|next| next.expose() != refresh.expose()) {
        {
            // The last few: what was replaced must still be wiped from texts.
            let mut known = lock();
            known.push(next.clone());
            let surplus = known.len().saturating_sub(8);
            known.drain(..surplus);
        }
        if let Some(store) = &settings.store {
            store.save(given, &next).await?;
        }
    }
    Ok(granted.token)
}

impl Auth for OAuth2 {
    fn authorize<'a>(&'a self, request: &'a mut Request) -> BoxFuture<'a, Result<()>> {
        let renewing = self.renewing();
        Box::pin(async move { renewing.authorize(request).await })
    }

    fn renew<'a>(&'a self, refused: &'a Request) -> BoxFuture<'a, Result<bool>> {
        self.renewing().refused(refused);
        Box::pin(async { Ok(true) })
    }

    fn secrets(&self) -> Vec<Secret> {
        let given = match &self.grant {
            Grant::ClientCredentials => None,
            Grant::RefreshToken(given) => Some(given.clone()),
        };
        let refresh = self.running.refresh.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let fixed = [self.settings.secret.clone()].into_iter().chain(given);
        fixed.chain(refresh).chain(self.renewing().secrets()).collect()
    }

    fn sent(&self) -> Vec<(&'static str, Secret)> {
        self.renewing().current().map(|token| ("oauth", token)).into_iter().collect()
    }
}

impl fmt::Debug for OAuth2 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let grant = match self.grant {
            Grant::ClientCredentials => "client_credentials",
            Grant::RefreshToken(_) => "refresh_token",
        };
        f.debug_struct("OAuth2")
            .field("endpoint", &self.settings.endpoint.url().host_str())
            .field("grant", &grant)
            .finish_non_exhaustive()
    }
}
