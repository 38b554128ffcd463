//! Values that must not be seen, and the wiping of them from texts that are.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use secrecy::{ExposeSecret, SecretString};
use url::Url;

use crate::error::{Error, Result};

/// What stands in the place of a secret.
pub(crate) const MASK: &str = "***";

/// A credential. It cannot be printed: `Debug` shows `Secret(***)`, there is no `Display`, and the
/// memory is wiped when it is dropped.
///
/// ```
/// use headwater::Secret;
/// assert_eq!(format!("{:?}", Secret::new("hunter2")), "Secret(***)");
/// ```
#[derive(Clone)]
pub struct Secret(SecretString);

impl Secret {
    /// Wraps a value.
    pub fn new(value: impl Into<String>) -> Self {
        Self(SecretString::from(value.into()))
    }

    /// Reads an environment variable; white space around the value is dropped.
    ///
    /// # Errors
    /// `Config` if the variable is not set, is empty, or is not Unicode. The error names the variable,
    /// never its value.
    pub fn env(variable: &str) -> Result<Self> {
        let value = match std::env::var(variable) {
            Ok(value) => Self::new(value),
            Err(std::env::VarError::NotPresent) => {
                return Err(Error::config(format!("the environment variable {variable} is not set")));
            }
            Err(std::env::VarError::NotUnicode(_)) => {
                return Err(Error::config(format!("the environment variable {variable} is not Unicode")));
            }
        };
        let trimmed = value.expose().trim();
        if trimmed.is_empty() {
            return Err(Error::config(format!("the environment variable {variable} is empty")));
        }
        Ok(Self::new(trimmed))
    }

    /// Hands out the value. Whoever calls this answers for where it goes.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret({MASK})")
    }
}

impl From<&str> for Secret {
    fn from(value: &str) -> Self {
        Self::new(value)
    }
}

impl From<String> for Secret {
    fn from(value: String) -> Self {
        Self::new(value)
    }
}

/// Wipes secrets from texts that people see: the known values in plain, percent-encoded and base64
/// form, and whatever stands behind a name that usually holds a secret.
#[derive(Clone, Default)]
pub(crate) struct Redactor {
    // Longest first, so that a secret that contains another is wiped whole.
    needles: Vec<SecretString>,
}

impl Redactor {
    pub(crate) fn new(secrets: &[Secret]) -> Self {
        let mut needles: Vec<String> = Vec::new();
        for secret in secrets {
            let value = secret.expose();
            // Wiping every "a" would help nobody; such a value is no secret.
            if value.len() < 4 {
                continue;
            }
            needles.push(value.to_owned());
            needles.push(utf8_percent_encode(value, NON_ALPHANUMERIC).to_string());
            needles.push(url::form_urlencoded::byte_serialize(value.as_bytes()).collect());
            // As it stands inside a JSON string.
            let quoted = serde_json::to_string(value).unwrap_or_default();
            needles.push(quoted.trim_matches('"').to_owned());
            for engine in [&STANDARD, &STANDARD_NO_PAD, &URL_SAFE, &URL_SAFE_NO_PAD] {
                needles.push(engine.encode(value));
            }
        }
        needles.sort_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
        needles.dedup();
        Self { needles: needles.into_iter().map(SecretString::from).collect() }
    }

    /// Wipes the known values, and what stands behind names that usually hold a secret.
    pub(crate) fn text(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for needle in &self.needles {
            let needle = needle.expose_secret();
            if !needle.is_empty() && text.contains(needle) {
                text = text.replace(needle, MASK);
            }
        }
        mask_named_values(&text)
    }

    /// A URL for people: no user info, no fragment, no value behind a name that usually holds a secret.
    pub(crate) fn url(&self, url: &Url) -> String {
        let mut shown = url.clone();
        let _ = shown.set_username("");
        let _ = shown.set_password(None);
        shown.set_fragment(None);
        if let Some(query) = url.query() {
            let parts: Vec<String> = query.split('&').map(mask_pair).collect();
            shown.set_query(Some(&parts.join("&")));
        }
        self.text(shown.as_str())
    }
}

impl fmt::Debug for Redactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Redactor({} needles)", self.needles.len())
    }
}

fn mask_pair(pair: &str) -> String {
    match pair.split_once('=') {
        Some((name, _)) if is_sensitive(&percent_decode_str(name).decode_utf8_lossy()) => {
            format!("{name}={MASK}")
        }
        _ => pair.to_owned(),
    }
}

/// Whether a parameter, header or field of this name usually holds a secret.
pub(crate) fn is_sensitive(name: &str) -> bool {
    const WHOLE: [&str; 12] = [
        "key",
        "sig",
        "auth",
        "token",
        "authorization",
        "cookie",
        "pwd",
        "pass",
        "jwt",
        "sid",
        "code",
        "hmac",
    ];
    const PART: [&str; 14] = [
        "secret",
        "password",
        "passwd",
        "apikey",
        "accesstoken",
        "authtoken",
        "refreshtoken",
        "idtoken",
        "sessiontoken",
        "signature",
        "credential",
        "privatekey",
        "bearer",
        "accesskey",
    ];
    let plain: String =
        name.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect();
    WHOLE.contains(&plain.as_str()) || PART.iter().any(|part| plain.contains(part))
}

/// Masks `name=value` and `"name": "value"` where the name usually holds a secret.
fn mask_named_values(text: &str) -> String {
    let bytes = text.as_bytes();
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while at < bytes.len() {
        if !is_name(bytes[at]) {
            let next = text[at..].chars().next().map_or(1, char::len_utf8);
            out.push_str(&text[at..at + next]);
            at += next;
            continue;
        }
        let end = at + bytes[at..].iter().take_while(|byte| is_name(**byte)).count();
        out.push_str(&text[at..end]);
        let name = &text[at..end];
        at = end;
        if !is_sensitive(name) {
            continue;
        }
        // The separator: `=`, or a quote, a colon, blanks and a quote.
        let gap = bytes[end..]
            .iter()
            .take_while(|byte| matches!(byte, b'"' | b'\\' | b' ' | b':' | b'=' | b'\''))
            .count();
        let separator = &text[end..end + gap];
        let quoted = separator.ends_with(['"', '\'']);
        if !separator.contains([':', '=']) {
            continue;
        }
        let value = bytes[end + gap..]
            .iter()
            .take_while(|byte| match byte {
                b'"' | b'\\' | b'\'' | b'<' | b'>' => false,
                b'&' | b' ' | b',' | b';' | b'}' | b']' => quoted,
                _ => true,
            })
            .count();
        out.push_str(separator);
        if value > 0 {
            out.push_str(MASK);
        }
        at = end + gap + value;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_known_value_is_wiped_in_every_form() {
        let redactor = Redactor::new(&[Secret::new("s3cr/t+value==")]);
        for seen in ["s3cr/t+value==", "s3cr%2Ft%2Bvalue%3D%3D", &STANDARD.encode("s3cr/t+value==")] {
            assert_eq!(redactor.text(&format!("before {seen} after")), "before *** after");
        }
    }

    #[test]
    fn values_behind_telling_names_are_masked() {
        let redactor = Redactor::default();
        let url = Url::parse("https://u:p@h.example/a?limit=5&api_key=abc&X-Amz-Signature=ff#frag").unwrap();
        assert_eq!(redactor.url(&url), "https://h.example/a?limit=5&api_key=***&X-Amz-Signature=***");
        assert_eq!(redactor.text(r#"{"access_token": "abc", "n": 1}"#), r#"{"access_token": "***", "n": 1}"#);
        assert_eq!(redactor.text("next=/x?access_token=abc&page=2"), "next=/x?access_token=***&page=2");
        assert_eq!(redactor.text("no token here"), "no token here");
    }

    #[test]
    fn a_missing_variable_is_named() {
        let error = Secret::env("HEADWATER_TEST_NOT_SET").unwrap_err();
        assert!(error.to_string().contains("HEADWATER_TEST_NOT_SET"), "{error}");
    }
}
