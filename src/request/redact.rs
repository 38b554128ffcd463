//! Wiping secrets from texts that people see.
//!
//! A server repeats what it was sent, in its own spelling: percent-encoded in either case, with `\\/` or
//! `\\u002f` as JSON may, as HTML entities, in base64. So a text is first read in its plain meaning, with a note
//! of where each byte came from; what is a secret there is masked where it stands in the original.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
use memchr::memmem;
use percent_encoding::percent_decode_str;
use secrecy::{ExposeSecret, SecretBox};
use url::Url;

use super::Secret;

/// What stands in the place of a secret.
pub(crate) const MASK: &str = "***";

/// Wipes the known values, in whatever spelling, and whatever stands behind a name that usually holds a
/// secret.
#[derive(Default)]
pub(crate) struct Redactor {
    /// In their plain meaning; longest first, so that a secret that contains another is wiped whole.
    needles: Vec<SecretBox<[u8]>>,
}

impl Redactor {
    pub(crate) fn new(secrets: &[Secret]) -> Self {
        let mut needles: Vec<Vec<u8>> = Vec::new();
        for value in secrets.iter().map(Secret::expose) {
            // Wiping every "a" would help nobody; such a value is no secret.
            if value.len() < 4 {
                continue;
            }
            needles.push(Plain::read(value).bytes);
            for engine in [&STANDARD, &STANDARD_NO_PAD, &URL_SAFE, &URL_SAFE_NO_PAD] {
                needles.push(Plain::read(&engine.encode(value)).bytes);
            }
        }
        needles.sort_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
        needles.dedup();
        Self { needles: needles.into_iter().map(|needle| needle.into_boxed_slice().into()).collect() }
    }

    /// Wipes a text.
    pub(crate) fn text(&self, text: &str) -> String {
        mask_named_values(&self.known(text))
    }

    fn known(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for needle in &self.needles {
            let needle = needle.expose_secret();
            let plain = Plain::read(&text);
            let mut masked = String::new();
            let mut done = 0;
            for at in memmem::find_iter(&plain.bytes, needle) {
                let (start, end) = (plain.from[at], plain.from[at + needle.len()]);
                if let Some(kept) = text.get(done..start) {
                    masked.push_str(kept);
                    masked.push_str(MASK);
                    done = end;
                }
            }
            if done > 0 {
                masked.push_str(text.get(done..).unwrap_or_default());
                text = masked;
            }
        }
        text
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

impl Clone for Redactor {
    fn clone(&self) -> Self {
        let copy = |needle: &SecretBox<[u8]>| needle.expose_secret().to_vec().into_boxed_slice().into();
        Self { needles: self.needles.iter().map(copy).collect() }
    }
}

impl std::fmt::Debug for Redactor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Redactor({} needles)", self.needles.len())
    }
}

/// A text in its plain meaning.
struct Plain {
    bytes: Vec<u8>,
    /// Where each byte begins in the original, and, as the last, where the original ends.
    from: Vec<usize>,
}

impl Plain {
    fn read(text: &str) -> Self {
        let mut plain =
            Self { bytes: Vec::with_capacity(text.len()), from: Vec::with_capacity(text.len() + 1) };
        let mut at = 0;
        while let Some(first) = text[at..].chars().next() {
            let (value, length) = escape(&text[at..]).unwrap_or((Meaning::Char(first), first.len_utf8()));
            let mut buffer = [0; 4];
            let bytes = match value {
                Meaning::Byte(byte) => {
                    buffer[0] = byte;
                    &buffer[..1]
                }
                Meaning::Char(c) => c.encode_utf8(&mut buffer).as_bytes(),
            };
            // A plus may stand for a blank: both count as the same.
            plain.bytes.extend(bytes.iter().map(|byte| if *byte == b'+' { b' ' } else { *byte }));
            plain.from.extend(bytes.iter().map(|_| at));
            at += length;
        }
        plain.from.push(at);
        plain
    }
}

enum Meaning {
    Byte(u8),
    Char(char),
}

/// The escape that a text begins with: what it means, and how long it is.
fn escape(text: &str) -> Option<(Meaning, usize)> {
    let hex = |digits: Option<&str>| u32::from_str_radix(digits?, 16).ok();
    match text.as_bytes() {
        [b'%', _, _, ..] => Some((Meaning::Byte(u8::try_from(hex(text.get(1..3))?).ok()?), 3)),
        [b'\\', b'u', ..] => Some((Meaning::Char(char::from_u32(hex(text.get(2..6))?)?), 6)),
        [b'\\', c @ (b'/' | b'"' | b'\\' | b'\''), ..] => Some((Meaning::Byte(*c), 2)),
        [b'&', b'#', ..] => {
            let end = text.as_bytes().iter().take(10).position(|byte| *byte == b';')?;
            let digits = &text[2..end];
            let code = match digits.strip_prefix(['x', 'X']) {
                Some(digits) => hex(Some(digits))?,
                None => digits.parse().ok()?,
            };
            Some((Meaning::Char(char::from_u32(code)?), end + 1))
        }
        [b'&', ..] => {
            const NAMED: [(&str, u8); 5] =
                [("&amp;", b'&'), ("&lt;", b'<'), ("&gt;", b'>'), ("&quot;", b'"'), ("&apos;", b'\'')];
            let (name, byte) = NAMED.iter().find(|(name, _)| text.starts_with(name))?;
            Some((Meaning::Byte(*byte), name.len()))
        }
        _ => None,
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
    fn a_known_value_is_wiped_in_every_spelling() {
        let secret = "s3cr/t+v!a~lue==";
        let redactor = Redactor::new(&[Secret::new(secret)]);
        for seen in [
            "s3cr/t+v!a~lue==",
            "s3cr%2Ft%2Bv%21a%7Elue%3D%3D",
            "s3cr%2ft%2bv!a~lue%3d%3D",
            "s3cr\\/t+v!a~lue==",
            "s3cr\\u002ft\\u002Bv!a~lue==",
            "s3cr&#x2F;t&#43;v!a~lue&#61;=",
            &STANDARD.encode(secret),
            &URL_SAFE_NO_PAD.encode(secret),
        ] {
            assert_eq!(redactor.text(&format!("before {seen} after ü")), "before *** after ü", "{seen}");
        }
        assert_eq!(redactor.text("s3cr%"), "s3cr%");
        assert_eq!(
            Redactor::default().text("100% \\ud800 &#xZ; &#9999999999; \\"),
            "100% \\ud800 &#xZ; &#9999999999; \\"
        );
    }

    #[test]
    fn a_secret_that_looks_escaped_is_wiped_too() {
        let redactor = Redactor::new(&[Secret::new("a%2Fb\\u0041&amp;")]);
        assert_eq!(redactor.text("<a%2Fb\\u0041&amp;>"), "<***>");
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
}
