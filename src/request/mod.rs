//! What is asked of a server: the [`Request`] template, the [`Target`] where a value goes into it, the [`Bindings`] for
//! its placeholders, the [`Position`] of a page, the [`Origin`] that credentials are bound to, and the [`Secret`] that
//! cannot be printed.

mod bindings;
mod body;
mod fill;
mod foreseen;
mod high_water;
mod kept;
pub(crate) mod mark;
pub(crate) mod origin;
mod path;
pub(crate) mod place;
mod plain_value;
mod position;
mod reach;
pub(crate) mod redact;
mod secret;
pub(crate) mod slices;
mod spelling;
mod target;
mod timestamp;

use std::fmt;
use std::time::Duration;

use http::Method;
use http::header::{ACCEPT, HeaderMap, HeaderName, HeaderValue};
use url::Url;

pub use bindings::Bindings;
pub use foreseen::Foreseen;
pub(crate) use high_water::{HighWater, Level, capped};
pub(crate) use kept::{Keeper, Kept};
pub(crate) use mark::Mark;
pub use origin::Origin;
pub use path::JsonPath;
pub(crate) use plain_value::{is_same, text_of};
pub use position::Position;
pub(crate) use reach::is_loopback;
pub use secret::Secret;
pub use slices::Progress;
pub use target::Target;
pub(crate) use timestamp::Timestamp;

use crate::error::{Error, Result};
use body::Body;
use redact::{MASK, Redactor, is_sensitive, is_sensitive_header};

/// A shorter value may stand in a URL by chance: the name of a user, say.
pub(crate) const TELLING: usize = 16;

/// A request without its credentials: the template that a paginator turns into the request for one page.
///
/// ```
/// use headwater::Request;
/// let request = Request::get("https://api.example.com/v1/items")?
///     .query("limit", "100")
///     .header("Accept", "application/json")?;
/// assert_eq!(request.url().as_str(), "https://api.example.com/v1/items?limit=100");
/// # Ok::<(), headwater::Error>(())
/// ```
#[derive(Clone)]
pub struct Request {
    method: Method,
    url: Url,
    headers: HeaderMap,
    body: Option<Body>,
    declared_repeatable: bool,
    timeout: Option<Duration>,
}

impl Request {
    /// Makes a GET request.
    ///
    /// # Errors
    /// `Config` if the URL is not an absolute http or https URL, or has a user name or password in it.
    pub fn get(url: impl AsRef<str>) -> Result<Self> {
        Self::new(Method::GET, url)
    }

    /// Makes a POST request. It is not sent a second time after a failure unless it is declared
    /// [`repeatable`](Request::repeatable).
    ///
    /// # Errors
    /// As for [`Request::get`].
    pub fn post(url: impl AsRef<str>) -> Result<Self> {
        Self::new(Method::POST, url)
    }

    fn new(method: Method, url: impl AsRef<str>) -> Result<Self> {
        let text = url.as_ref();
        // The text itself may hold a secret, so an unreadable URL is not quoted.
        let mut url = Url::parse(text).map_err(|error| {
            Error::config("the URL cannot be read")
                .because(error)
                .advice("give an absolute URL such as https://api.example.com/v1/items")
        })?;
        check(&url)?;
        url.set_fragment(None);
        Ok(Self {
            method,
            url,
            headers: HeaderMap::new(),
            body: None,
            declared_repeatable: false,
            timeout: None,
        })
    }

    /// Adds a query parameter; the value is percent-encoded.
    #[must_use]
    pub fn query(mut self, name: &str, value: impl AsRef<str>) -> Self {
        self.url.query_pairs_mut().append_pair(name, value.as_ref());
        self
    }

    /// Sets a query parameter, in the place of every other of its name.
    #[must_use]
    pub fn with_query(mut self, name: &str, value: impl AsRef<str>) -> Self {
        remove_query(&mut self.url, |other| other == name);
        self.query(name, value)
    }

    /// Adds a header.
    ///
    /// # Errors
    /// `Config` if the name is not a token, or the value holds CR, LF or another control character
    /// (RFC 9110 §5.5). The value is not quoted.
    pub fn header(mut self, name: &str, value: impl AsRef<str>) -> Result<Self> {
        let name = HeaderName::from_bytes(name.as_bytes())
            .map_err(|_| Error::config(format!("{:?} is not a header name", name)))?;
        let mut value = HeaderValue::from_str(value.as_ref()).map_err(|_| {
            Error::config(format!(
                "the value of the header {name} has a line break or a control character in it"
            ))
        })?;
        value.set_sensitive(is_sensitive_header(name.as_str()));
        self.headers.append(name, value);
        Ok(self)
    }

    /// Asks for a media type, unless another one was asked for.
    pub(crate) fn accepting(mut self, media_type: &'static str) -> Self {
        self.headers.entry(ACCEPT).or_insert(HeaderValue::from_static(media_type));
        self
    }

    /// Declares that sending this request twice does no harm, so that it may be retried: a POST that only
    /// reads (RFC 9110 §9.2.2). GET, HEAD and the other idempotent methods are so from the start.
    #[must_use]
    pub fn repeatable(mut self) -> Self {
        self.declared_repeatable = true;
        self
    }

    /// Sets how long the whole request may take, in the place of the transport's own limit.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Replaces the URL.
    ///
    /// # Errors
    /// `Config` if it is neither http nor https, or has a user name or password in it.
    pub fn with_url(self, url: Url) -> Result<Self> {
        check(&url)?;
        Ok(self.at_url(url))
    }

    /// Replaces the URL by one that is checked before it is asked.
    pub(crate) fn at_url(mut self, url: Url) -> Self {
        self.url = url;
        self
    }

    pub(crate) fn url_mut(&mut self) -> &mut Url {
        &mut self.url
    }

    /// The method.
    pub fn method(&self) -> &Method {
        &self.method
    }

    /// The URL, without credentials.
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// The headers, without credentials.
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// Whether sending it twice does no harm.
    pub fn is_repeatable(&self) -> bool {
        self.declared_repeatable || self.method.is_idempotent()
    }

    /// How long the whole request may take, if it was set.
    pub fn whole_timeout(&self) -> Option<Duration> {
        self.timeout
    }

    /// The query parameters and header values of a template that are credentials by their names: given by
    /// hand, and kept out of sight all the same.
    pub(crate) fn sensitive_query(&self) -> Vec<(String, String)> {
        let pairs = self.url.query_pairs().filter(|(name, _)| is_sensitive(name));
        pairs.map(|(name, value)| (name.into_owned(), value.into_owned())).collect()
    }

    pub(crate) fn sensitive_headers(&self) -> impl Iterator<Item = Secret> {
        let values = self.headers.values().filter(|value| value.is_sensitive());
        values.filter_map(|value| value.to_str().ok()).map(Secret::from)
    }

    pub(crate) fn headers_mut(&mut self) -> &mut HeaderMap {
        &mut self.headers
    }

    pub(crate) fn set_method(&mut self, method: Method) {
        self.method = method;
    }

    pub(crate) fn describe(&self, redactor: &Redactor) -> String {
        format!("{} {}", self.method, redactor.url(&self.url))
    }
}

fn check(url: &Url) -> Result<()> {
    Origin::of(url)?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(Error::config(format!(
            "the URL for {} has credentials in it",
            url.host_str().unwrap_or("")
        ))
        .advice("give them with `auth(Basic::new(user, password))`"));
    }
    Ok(())
}

/// Removes the query parameters whose name is chosen, and leaves the text of the others as it is.
pub(crate) fn remove_query(url: &mut Url, chosen: impl Fn(&str) -> bool) {
    let Some(query) = url.query() else { return };
    let is_chosen = |pair: &&str| {
        let name = pair.split('=').next().unwrap_or("").replace('+', " ");
        chosen(&percent_encoding::percent_decode_str(&name).decode_utf8_lossy())
    };
    let kept: Vec<&str> = query.split('&').filter(|pair| !is_chosen(pair)).collect();
    let kept = kept.join("&");
    url.set_query((!kept.is_empty()).then_some(&kept));
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Header values and the body may hold anything: only the names are shown.
        let names: Vec<&str> = self.headers.keys().map(HeaderName::as_str).collect();
        f.debug_struct("Request")
            .field("method", &self.method)
            .field("url", &Redactor::default().url(&self.url))
            .field("headers", &names)
            .field("body", &self.body.as_ref().map(|_| MASK))
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_breaks_in_a_header_are_refused_and_not_quoted() {
        let error = Request::get("https://h.example").unwrap().header("X-Key", "abc\r\nEvil: 1").unwrap_err();
        assert!(error.to_string().contains("x-key"), "{error}");
        assert!(!error.to_string().contains("abc"), "{error}");
    }

    #[test]
    fn credentials_in_the_url_are_refused_and_not_quoted() {
        let error = Request::get("https://user:hunter2@h.example/").unwrap_err();
        assert!(!error.to_string().contains("hunter2"), "{error}");
        assert!(Request::get("ftp://h.example").is_err());
        assert!(Request::get("/relative").is_err());
    }

    #[test]
    fn a_replaced_parameter_leaves_the_text_of_the_others() {
        let request =
            Request::get("https://h.example/?q=a%20b&page=1&x=%2f").unwrap().with_query("page", "2");
        assert_eq!(request.url().query(), Some("q=a%20b&x=%2f&page=2"));
    }

    #[test]
    fn debug_shows_names_and_no_values() {
        let request = Request::get("https://h.example/?api_key=abcdef")
            .unwrap()
            .header("X-Api-Key", "abcdef")
            .unwrap()
            .json(serde_json::json!({"password": "abcdef"}));
        assert!(!format!("{request:?}").contains("abcdef"));
    }
}
