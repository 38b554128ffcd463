//! Redaction: a server repeats a secret, in any spelling and between any texts, and nobody sees it.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
use headwater::auth::ApiKey;
use headwater::paginate::Single;
use headwater::testing::{Reply, Scripted};
use headwater::{Pages, Request};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::{collected, lines};

/// How a server may spell what it was sent.
type Spelling = fn(&str) -> String;

pub(crate) const SPELLINGS: [(&str, Spelling); 24] = [
    ("plain", str::to_owned),
    ("percent-encoded", percent),
    ("percent-encoded, lower case", |text| lower_hex(&percent(text))),
    ("percent-encoded, every byte", |text| text.bytes().map(|byte| format!("%{byte:02X}")).collect()),
    ("percent-encoded twice", |text| percent(&percent(text))),
    ("form-encoded", |text| url::form_urlencoded::byte_serialize(text.as_bytes()).collect()),
    ("a JSON string", json),
    ("a JSON string with escaped slashes", |text| json(text).replace('/', "\\/")),
    ("a JSON string of escapes", escapes),
    ("a JSON string of escapes in upper case", |text| escapes(text).to_uppercase().replace("\\U", "\\u")),
    ("a JSON string in a JSON string", |text| json(&json(text))),
    ("JSON escapes in a JSON string", |text| json(&escapes(text))),
    ("a JSON string, percent-encoded", |text| percent(&json(text))),
    ("HTML entities", |text| text.chars().map(|c| format!("&#{};", u32::from(c))).collect()),
    ("hexadecimal HTML entities", |text| text.chars().map(|c| format!("&#x{:X};", u32::from(c))).collect()),
    ("escaped HTML", |text| {
        text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
    }),
    ("base64", |text| STANDARD.encode(text)),
    ("base64 without padding", |text| STANDARD_NO_PAD.encode(text)),
    ("base64 for URLs", |text| URL_SAFE.encode(text)),
    ("base64 for URLs, without padding", |text| URL_SAFE_NO_PAD.encode(text)),
    ("base64, percent-encoded", |text| percent(&STANDARD.encode(text))),
    ("hexadecimal", |text| text.bytes().map(|byte| format!("{byte:02x}")).collect()),
    ("hexadecimal, upper case", |text| text.bytes().map(|byte| format!("{byte:02X}")).collect()),
    ("scripted escapes", |text| text.bytes().map(|byte| format!("\\x{byte:02x}")).collect()),
];

fn percent(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

fn lower_hex(text: &str) -> String {
    let mut parts = text.split('%');
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |out, part| format!("{out}%{}{}", part[..2].to_lowercase(), &part[2..]))
}

fn json(text: &str) -> String {
    let quoted = serde_json::to_string(text).expect("a string has a JSON form");
    quoted[1..quoted.len() - 1].to_owned()
}

fn escapes(text: &str) -> String {
    text.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect()
}

/// The part of the base64 of a longer text that is all the secret's, wherever it begins in it.
pub(crate) fn within_base64(secret: &str, phase: usize) -> String {
    let whole = STANDARD.encode([&vec![0; phase], secret.as_bytes()].concat());
    whole[(phase * 4).div_ceil(3)..(phase + secret.len()) * 4 / 3].to_owned()
}

/// The secret, the number of a spelling, what stands before, and what stands behind.
pub(crate) fn fuzz(data: &[u8]) {
    let ([secret, spelling, before], after) = lines(data);
    let spelling = spelling.trim().parse::<usize>().unwrap_or_default();
    check(&secret, spelling, &before, &String::from_utf8_lossy(after));
}

pub(crate) fn check(secret: &str, spelling: usize, before: &str, after: &str) {
    let before: String = before.chars().take(60).collect();
    let spelled = match spelling.checked_sub(SPELLINGS.len()) {
        None => SPELLINGS[spelling].1(secret),
        // In the middle of something that was encoded as a whole: `user:password`.
        Some(phase) => {
            STANDARD.encode(format!("{}{secret}{}", &"u:x"[..phase % 3], &"tail"[..phase / 3 % 4]))
        }
    };
    let seen = shown(secret, &format!("{before}{spelled}{after}"));
    // A short word is no secret, and one of stars cannot be told from the mask.
    if secret.len() < 8 || secret.contains('*') || secret.trim() != secret {
        return;
    }
    let phase = spelling.saturating_sub(SPELLINGS.len()) % 3;
    let remains = [secret.to_owned(), spelled.clone(), within_base64(secret, phase)];
    let without = shown("another-secret", "");
    for remains in remains.iter().filter(|remains| !without.contains(*remains)) {
        assert!(!seen.contains(remains), "{remains} of {secret:?} as {spelled} is in {seen}");
    }
}

/// All that a person sees when a server fails with this body.
pub(crate) fn shown(secret: &str, body: &str) -> String {
    let api = Scripted::new([Reply::status(400).body(body.to_owned())]);
    let first = Request::get("https://api.example.com/items").expect("a URL");
    let error = collected(Pages::new(api, first, Single).auth(ApiKey::query("q", secret))).remove(0);
    let error = error.expect_err("400 is no page");
    format!("{error} {error:?} {error:#?} {:?}", error.context())
}
