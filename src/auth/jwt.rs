//! Service accounts: an assertion signed with a private key is exchanged for a token (RFC 7523 §2.1).

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures::future::BoxFuture;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde::{Deserialize, Serialize};

use super::Auth;
use super::grant::{Grant, Tokens};
use super::renewing::Token;
use super::token_endpoint::{Reached, ask, endpoint};
use crate::error::{Error, Result};
use crate::request::{Request, Secret};
use crate::transport::Transport;

const GRANT: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
/// Google takes no assertion that is valid for longer.
const HOUR: Duration = Duration::from_secs(3600);

/// Access tokens for a service account: an assertion (a JWT, signed by RS256 with the account's private key) is
/// exchanged for a token (RFC 7523 §2.1): Google's service accounts, DocuSign, Salesforce, Box and others. Fetched,
/// shared and renewed as by [`OAuth2`](super::OAuth2).
///
/// ```no_run
/// use headwater::auth::JwtGrant;
/// let key_file = std::fs::read_to_string("service-account.json").expect("the key file");
/// let auth = JwtGrant::google(&key_file)?.scope("https://www.googleapis.com/auth/drive.readonly");
/// # Ok::<(), headwater::Error>(())
/// ```
#[derive(Clone)]
pub struct JwtGrant(Tokens<Assertion>);

/// Who asks, and for what.
#[derive(Clone)]
struct Assertion {
    endpoint: Request,
    issuer: String,
    subject: Option<String>,
    audience: String,
    scope: Option<String>,
    key_id: Option<String>,
    lifetime: Duration,
    key: EncodingKey,
    pem: Secret,
    reached: Reached,
}

#[derive(Deserialize)]
struct KeyFile {
    client_email: String,
    private_key: String,
    private_key_id: Option<String>,
    token_uri: String,
}

#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    aud: &'a str,
    iat: u64,
    exp: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    sub: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    scope: Option<&'a str>,
}

impl JwtGrant {
    /// Takes the endpoint, who asks (`iss`), and an RSA private key in PEM (PKCS #1 or #8).
    ///
    /// # Errors
    /// `Config` if the URL cannot be read, or is neither https nor on this machine, or the key is not an RSA private key. It is not quoted.
    pub fn new(
        token_url: impl AsRef<str>,
        issuer: impl Into<String>,
        key: impl Into<Secret>,
    ) -> Result<Self> {
        let pem = key.into();
        let key = EncodingKey::from_rsa_pem(pem.expose().as_bytes())
            .map_err(|_| Error::config("the private key is not an RSA key in PEM"))?;
        Ok(Self(Tokens::new(Assertion {
            endpoint: endpoint(Request::post(token_url.as_ref())?)?,
            issuer: issuer.into(),
            subject: None,
            audience: token_url.as_ref().to_owned(),
            scope: None,
            key_id: None,
            lifetime: HOUR,
            key,
            pem,
            reached: Reached::default(),
        })))
    }

    /// Takes the key file of a Google service account, as it was downloaded.
    ///
    /// # Errors
    /// `Config` if it is not one. It is not quoted.
    pub fn google(key_file: &str) -> Result<Self> {
        let file: KeyFile = serde_json::from_str(key_file)
            .map_err(|_| Error::config("this is not the key file of a Google service account"))?;
        let grant = Self::new(&file.token_uri, file.client_email, file.private_key)?;
        Ok(grant.with(|asked| asked.key_id = file.private_key_id))
    }

    /// Asks for a scope: names with blanks between them.
    #[must_use]
    pub fn scope(self, scope: impl Into<String>) -> Self {
        self.with(|asked| asked.scope = Some(scope.into()))
    }

    /// Asks on behalf of a user (`sub`).
    #[must_use]
    pub fn subject(self, subject: impl Into<String>) -> Self {
        self.with(|asked| asked.subject = Some(subject.into()))
    }

    /// Sets who the assertion is for (`aud`). The default is the URL of the endpoint.
    #[must_use]
    pub fn audience(self, audience: impl Into<String>) -> Self {
        self.with(|asked| asked.audience = audience.into())
    }

    /// Names the key (`kid`).
    #[must_use]
    pub fn key_id(self, id: impl Into<String>) -> Self {
        self.with(|asked| asked.key_id = Some(id.into()))
    }

    /// Sets how long an assertion is valid. The default is an hour, which is Google's most.
    #[must_use]
    pub fn lifetime(self, time: Duration) -> Self {
        self.with(|asked| asked.lifetime = time)
    }

    /// Asks for tokens over this transport. The default is an [`Http`](crate::Http) client of its own.
    #[must_use]
    pub fn transport(self, transport: impl Transport) -> Self {
        self.with(|asked| asked.reached = Reached::by(transport))
    }

    fn with(self, change: impl FnOnce(&mut Assertion)) -> Self {
        Self(self.0.change(change))
    }
}

impl Assertion {
    fn signed(&self, now: SystemTime) -> Result<String> {
        let issued = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let claims = Claims {
            iss: &self.issuer,
            aud: &self.audience,
            iat: issued,
            exp: issued.saturating_add(self.lifetime.as_secs()),
            sub: self.subject.as_deref(),
            scope: self.scope.as_deref(),
        };
        let header = Header { kid: self.key_id.clone(), ..Header::new(Algorithm::RS256) };
        encode(&header, &claims, &self.key)
            .map_err(|_| Error::config("the assertion cannot be signed with this key"))
    }
}

impl Grant for Assertion {
    const NAME: &'static str = "jwt";

    fn fetch(self) -> BoxFuture<'static, Result<Token>> {
        Box::pin(async move {
            let signed = self.signed(SystemTime::now())?;
            let secrets = [self.pem.clone(), Secret::from(signed.clone())];
            let request = self.endpoint.clone().with_form("grant_type", GRANT).with_form("assertion", signed);
            ask(&self.reached, &request, &secrets).await.map(|granted| granted.token)
        })
    }

    fn secrets(&self) -> Vec<Secret> {
        vec![self.pem.clone()]
    }
}

impl Auth for JwtGrant {
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

impl fmt::Debug for JwtGrant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JwtGrant")
            .field("issuer", &self.0.grant().issuer)
            .field("scope", &self.0.grant().scope)
            .finish_non_exhaustive()
    }
}
