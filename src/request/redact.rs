//! Wiping secrets from texts that people see.
//!
//! A server repeats what it was sent, in its own spelling ([`spelling`](super::spelling)), in hexadecimal, or in
//! base64, alone or within a longer text. What is a secret in any reading is masked where it stands.

use base64::Engine;
use base64::engine::general_purpose::{GeneralPurpose, STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
use percent_encoding::percent_decode_str;
use secrecy::{ExposeSecret, SecretBox};
use url::Url;

use super::spelling::{Reading, blank, plain};
use super::{Secret, TELLING};

/// So much of a text is read. A paginator may quote a whole page in its error.
const MOST_READ: usize = 16 * 1024;

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
            // As it is, and as it would be read.
            needles.push(value.as_bytes().to_vec());
            needles.push(plain(value.as_bytes()));
            for engine in [&STANDARD, &STANDARD_NO_PAD, &URL_SAFE, &URL_SAFE_NO_PAD] {
                needles.push(engine.encode(value).into_bytes());
            }
            for engine in [&STANDARD_NO_PAD, &URL_SAFE_NO_PAD] {
                needles.extend((0..3).map(|phase| within_base64(engine, value, phase)));
            }
            let hex: String = value.bytes().map(|byte| format!("{byte:02x}")).collect();
            needles.extend([hex.to_uppercase().into_bytes(), hex.into_bytes()]);
        }
        // Wiping every "a" would help nobody; such a value is no secret.
        needles.retain(|needle| needle.len() >= 4);
        needles.iter_mut().flatten().for_each(|byte| *byte = blank(*byte));
        needles.sort_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
        needles.dedup();
        Self { needles: needles.into_iter().map(|needle| needle.into_boxed_slice().into()).collect() }
    }

    /// Whether one of the known values is in a text, however it is spelled.
    pub(crate) fn finds(&self, text: &str) -> bool {
        !self.found(text).is_empty()
    }

    /// Wipes a text. Of a long one the beginning is kept.
    pub(crate) fn text(&self, text: &str) -> String {
        self.beginning(text, true)
    }

    /// Wipes a text that may be the beginning of a longer one. What stands near the end of what is read is left out:
    /// half a secret may stand there, and half a secret is still a secret.
    pub(crate) fn beginning(&self, text: &str, whole: bool) -> String {
        let read = &text[..char_before(text, MOST_READ)];
        let whole = whole && read.len() == text.len();
        let kept = if whole { read.len() } else { char_before(read, read.len() / 2) };
        let hidden: Vec<_> = self.found(read).into_iter().filter(|(start, _)| *start < kept).collect();
        // A secret that begins before that end is masked to its own.
        let end = hidden.iter().map(|(_, end)| *end).max().unwrap_or(0).max(kept);
        let mut wiped = mask_named_values(&masked(&read[..end], &hidden));
        if !whole {
            wiped.push('…');
        }
        wiped
    }

    /// Where the known values stand in a text; some may overlap.
    fn found(&self, text: &str) -> Vec<(usize, usize)> {
        if self.needles.is_empty() {
            return Vec::new();
        }
        let reading = Reading::of(text.as_bytes());
        let mut begins = [false; 256];
        for needle in &self.needles {
            begins[usize::from(needle.expose_secret()[0])] = true;
        }
        let mut found = Vec::new();
        for at in 0..text.len() {
            if reading.firsts(at).any(|byte| begins[usize::from(byte)]) {
                let ends = self.needles.iter().filter_map(|needle| reading.word(at, needle.expose_secret()));
                found.extend(ends.max().map(|end| (at, end)));
            }
        }
        found
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

impl std::fmt::Debug for Redactor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Redactor({} needles)", self.needles.len())
    }
}

/// Whether a credential that is long enough not to stand there by chance is in a text, in whatever spelling.
pub(crate) fn repeats(text: &str, secrets: impl FnOnce() -> Vec<Secret>) -> bool {
    if text.len() < TELLING {
        return false;
    }
    let telling: Vec<_> = secrets().into_iter().filter(|secret| secret.expose().len() >= TELLING).collect();
    Redactor::new(&telling).finds(text)
}

/// What the base64 of a longer text has in it wherever the value begins `phase` bytes (modulo 3) behind its start:
/// the characters that are made of the value alone.
pub(crate) fn within_base64(engine: &GeneralPurpose, value: &str, phase: usize) -> Vec<u8> {
    let encoded = engine.encode([&vec![0; phase], value.as_bytes()].concat()).into_bytes();
    // Of an empty password there is nothing.
    encoded.get((phase * 4).div_ceil(3)..(phase + value.len()) * 4 / 3).unwrap_or_default().to_vec()
}

/// The last place up to this one where a character begins, or the end of the text.
fn char_before(text: &str, at: usize) -> usize {
    (0..=at.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or_default()
}

/// A text with these ranges masked; they may overlap.
fn masked(text: &str, hidden: &[(usize, usize)]) -> String {
    let mut out = String::with_capacity(text.len());
    let mut done = 0;
    for (start, end) in hidden {
        if *start >= done {
            out.push_str(text.get(done..*start).unwrap_or_default());
            out.push_str(MASK);
        }
        done = done.max(*end);
    }
    out.push_str(text.get(done..).unwrap_or_default());
    out
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
    const WHOLE: [&str; 10] =
        ["key", "sig", "auth", "token", "authorization", "cookie", "pwd", "pass", "jwt", "hmac"];
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

/// Whether a field of this name holds a credential, and not the id of one, nor a key of the data.
pub(crate) fn is_credential(name: &str) -> bool {
    const LAST: [&str; 9] = [
        "secret",
        "password",
        "apikey",
        "accesstoken",
        "authtoken",
        "refreshtoken",
        "sessiontoken",
        "privatekey",
        "accesskey",
    ];
    let plain: String = name.chars().filter(char::is_ascii_alphanumeric).collect();
    LAST.iter().any(|last| plain.to_ascii_lowercase().ends_with(last))
}

/// Whether a header of this name usually holds a secret. The position of a page never stands in a header of the
/// request, so any token or key is one: `PRIVATE-TOKEN`, `X-Auth-Key`, `DD-APPLICATION-KEY`.
pub(crate) fn is_sensitive_header(name: &str) -> bool {
    const LAST: [&str; 5] = ["token", "key", "auth", "authorization", "cookie"];
    let name = name.to_ascii_lowercase();
    is_sensitive(&name) || LAST.iter().any(|last| name.ends_with(last))
}

/// Masks `name=value` and `"name": "value"` where the name usually holds a secret.
fn mask_named_values(text: &str) -> String {
    let bytes = text.as_bytes();
    let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    let mut hidden = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let length = bytes[at..].iter().take_while(|byte| is_name(byte)).count();
        if length == 0 {
            at += 1;
            continue;
        }
        let name = &text[at..at + length];
        at += length;
        if !is_sensitive(name) {
            continue;
        }
        // `<a:Token>…</a:Token>`, but not S3's `<Key>`.
        let in_name = |c: char| c.is_ascii_alphanumeric() || "_-.:".contains(c);
        let is_tag = || text[..at].trim_end_matches(in_name).ends_with('<');
        if bytes.get(at) == Some(&b'>') && is_tag() && !name.eq_ignore_ascii_case("key") {
            let end = text[at..].find('<').map_or(text.len(), |end| at + end);
            if end > at + 1 {
                hidden.push((at + 1, end));
            }
            at = end;
            continue;
        }
        let separator = separator(&bytes[at..]);
        let assigns = bytes[at..at + separator].iter().any(|byte| matches!(byte, b':' | b'='));
        // A field called "key" is a key of the data as often as not.
        if !assigns || (name.eq_ignore_ascii_case("key") && !bytes[at..].starts_with(b"=")) {
            continue;
        }
        let start = at + separator;
        let end = start + value(&bytes[start..], &bytes[at..start]);
        if end > start {
            hidden.push((start, end));
        }
        at = end;
    }
    masked(text, &hidden)
}

const QUOTES: [&[u8]; 5] = [b"\"", b"'", b"&quot;", b"&#34;", b"%22"];

/// What stands between a name and its value: `=`, or quotes, a colon and blanks.
fn separator(text: &[u8]) -> usize {
    let mut at = 0;
    loop {
        let rest = &text[at..];
        let quote = QUOTES.iter().find(|quote| rest.starts_with(quote));
        at += match (quote, rest.first()) {
            (Some(quote), _) => quote.len(),
            (None, Some(b'\\' | b' ' | b':' | b'=')) => 1,
            _ => return at,
        };
    }
}

/// How long the value is behind such a separator.
fn value(text: &[u8], separator: &[u8]) -> usize {
    let quote = QUOTES.iter().find(|quote| separator.ends_with(quote));
    // In JSON within JSON the quotes themselves are escaped.
    let escaped = quote.is_some_and(|quote| separator[..separator.len() - quote.len()].ends_with(b"\\"));
    let scheme =
        |scheme: &&[u8]| text.len() >= scheme.len() && text[..scheme.len()].eq_ignore_ascii_case(scheme);
    let mut at =
        [&b"bearer "[..], b"basic "].iter().find(|name| scheme(name)).map_or(0, |scheme| scheme.len());
    while at < text.len() {
        let rest = &text[at..];
        let ends = match quote {
            Some(quote) if escaped => rest.starts_with(b"\\") && rest[1..].starts_with(quote),
            Some(quote) => rest.starts_with(quote),
            None => matches!(
                rest[0],
                b'&' | b' ' | b',' | b';' | b'}' | b']' | b'"' | b'\'' | b'<' | b'>' | b'\n' | b'\r'
            ),
        };
        if ends {
            break;
        }
        at += if rest[0] == b'\\' && !escaped { 2 } else { 1 };
    }
    // Not into the middle of a character.
    let mut end = at.min(text.len());
    while end < text.len() && (text[end] & 0xC0) == 0x80 {
        end += 1;
    }
    end
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
        // Percent-encoded once more, and as a JSON string.
        assert_eq!(redactor.text("<a%252Fb%5Cu0041%26amp%3B>"), "<***>");
        assert_eq!(redactor.text(r#"<a%2Fb\\u0041&amp;>"#), "<***>");
        let short = Redactor::new(&[Secret::new("&amp;")]);
        assert_eq!(short.text("a & b"), "a & b");
    }

    #[test]
    fn values_behind_telling_names_are_masked() {
        let redactor = Redactor::default();
        let url = Url::parse("https://u:p@h.example/a?limit=5&api_key=abc&X-Amz-Signature=ff#frag").unwrap();
        assert_eq!(redactor.url(&url), "https://h.example/a?limit=5&api_key=***&X-Amz-Signature=***");
        assert_eq!(redactor.text(r#"{"access_token": "abc", "n": 1}"#), r#"{"access_token": "***", "n": 1}"#);
        assert_eq!(redactor.text("next=/x?access_token=abc&page=2"), "next=/x?access_token=***&page=2");
        for (seen, shown) in [
            (r#"{"access_token":"abc\/defTAIL","n":1}"#, r#"{"access_token":"***","n":1}"#),
            (r#"{"password":"ab\"TAIL"}"#, r#"{"password":"***"}"#),
            (r#"{"log":"{\"token\":\"TAIL\",\"n\":1}"}"#, r#"{"log":"{\"token\":\"***\",\"n\":1}"}"#),
            ("Authorization: Bearer TAIL", "Authorization: ***"),
            ("&quot;token&quot;:&quot;TAIL&quot;,", "&quot;token&quot;:&quot;***&quot;,"),
            (
                r#"{"error":{"code":"resource_missing","key":"PROJ-1"}}"#,
                r#"{"error":{"code":"resource_missing","key":"PROJ-1"}}"#,
            ),
            ("?key=abc&code=20003", "?key=***&code=20003"),
            (
                "<R><SecretAccessKey>a b</SecretAccessKey><Key>a</Key>",
                "<R><SecretAccessKey>***</SecretAccessKey><Key>a</Key>",
            ),
            ("<s:Password>TAIL &amp; x</s:Password>", "<s:Password>***</s:Password>"),
            ("<Token></Token><b>token</b>", "<Token></Token><b>token</b>"),
            ("<token>TAI\u{fc}", "<token>***"),
            ("token=\u{fc}\u{fc}\\\u{fc}", "token=***"),
            ("no token here", "no token here"),
        ] {
            assert_eq!(redactor.text(seen), shown);
        }
    }
}
