//! Credentials in the URLs that a server gives: taken out before a URL is stored, put in again before it is asked.
//!
//! A place is a word that stands for a credential in one spelling. It holds nothing of it, so a checkpoint can hold
//! it; it names the credential, so when that is replaced, it stands for the new one. What is asked is to the letter
//! what the server gave. Places are filled for the home origin only, and with credentials that are sent there with
//! each request anyhow; a server that writes such a word by itself is refused.

use std::collections::BTreeSet;

use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use url::{Position, Url};

use super::redact::within_base64;
use super::{Secret, TELLING};

/// What every place begins with.
const PLACE: &str = "headwater-credential-";
/// Among the spellings: as a form writes it.
const FORM: usize = 1;

/// A credential and its name, of ASCII letters and digits, which stays when its value changes.
pub(crate) type Named = (String, Secret);

/// The places in a text.
pub(crate) fn words(text: &str) -> BTreeSet<&str> {
    let in_word = |c: char| c.is_ascii_alphanumeric() || c == '-';
    let found = text.match_indices(PLACE).map(|(at, _)| {
        let rest = &text[at..];
        &rest[..rest.find(|c| !in_word(c)).unwrap_or(rest.len())]
    });
    found.collect()
}

/// Whether there is any, which is seldom: each request and each position is looked at.
pub(crate) fn has_word(text: &str) -> bool {
    text.contains(PLACE)
}

/// Whether a text is one place and nothing else.
pub(crate) fn is_word(text: &str) -> bool {
    words(text).contains(text)
}

/// How a secret can stand in a URL. A new spelling comes last, for places are stored.
fn spellings(secret: &str) -> Vec<String> {
    let percent = utf8_percent_encode(secret, NON_ALPHANUMERIC).to_string();
    let form: String = url::form_urlencoded::byte_serialize(secret.as_bytes()).collect();
    let lower = lower_hex(&percent);
    let lower_form = lower_hex(&form);
    let mut spellings = vec![secret.to_owned(), form, percent, lower];
    for engine in [&STANDARD_NO_PAD, &URL_SAFE_NO_PAD] {
        for phase in 0..3 {
            let encoded = String::from_utf8(within_base64(engine, secret, phase)).unwrap_or_default();
            let percent = utf8_percent_encode(&encoded, NON_ALPHANUMERIC).to_string();
            spellings.extend([encoded, percent]);
        }
    }
    spellings.push(lower_form);
    spellings
}

fn lower_hex(percent: &str) -> String {
    let mut digits = 0;
    percent
        .chars()
        .map(|c| {
            digits = if c == '%' { 3_u8 } else { digits.saturating_sub(1) };
            if digits > 0 { c.to_ascii_lowercase() } else { c }
        })
        .collect()
}

fn places(named: &[Named], least: usize) -> impl Iterator<Item = (String, String)> {
    let telling = named.iter().filter(move |(_, secret)| secret.expose().len() >= least);
    telling.flat_map(|(name, secret)| {
        let spellings = spellings(secret.expose()).into_iter().enumerate();
        spellings.map(move |(spelling, text)| (place(name, spelling), text))
    })
}

fn place(name: &str, spelling: usize) -> String {
    format!("{PLACE}{name}-{spelling}-")
}

/// Puts a place where one of the credentials stands: as a whole value of the query, and, if it is long enough not to
/// stand there by chance, anywhere in the path and the query; in the host too if that is not our own.
pub(crate) fn take_out(url: &mut Url, named: &[Named], is_home: bool) {
    if let Some(query) = url.query() {
        let pairs: Vec<String> = query.split('&').map(|pair| with_place(pair, named)).collect();
        let pairs = pairs.join("&");
        if pairs != query {
            url.set_query(Some(&pairs));
        }
    }
    let start = if is_home { Position::BeforePath } else { Position::BeforeUsername };
    change(url, start, |text| {
        places(named, TELLING).fold(text, |text, (place, secret)| match text.contains(&secret) {
            true => text.replace(&secret, &place),
            false => text,
        })
    });
}

fn with_place(pair: &str, named: &[Named]) -> String {
    // A plus may stand for a blank.
    let plain = |text: &str| text.replace('+', " ");
    let Some((_, value)) = url::form_urlencoded::parse(pair.as_bytes()).next() else {
        return pair.to_owned();
    };
    let is_value = |(_, secret): &&Named| !value.is_empty() && plain(secret.expose()) == plain(&value);
    let (Some((name, raw)), Some((credential, secret))) = (pair.split_once('='), named.iter().find(is_value))
    else {
        return pair.to_owned();
    };
    let spelling = spellings(secret.expose()).iter().position(|spelling| spelling == raw).unwrap_or(FORM);
    format!("{name}={}", place(credential, spelling))
}

/// Puts the credentials where their places are.
pub(crate) fn put_in(url: &mut Url, named: &[Named]) {
    change(url, Position::BeforePath, |text| {
        places(named, 0).fold(text, |text, (place, secret)| text.replace(&place, &secret))
    });
}

fn change(url: &mut Url, start: Position, change: impl FnOnce(String) -> String) {
    let text = url[start..].to_owned();
    let changed = change(text.clone());
    if changed != text
        && let Ok(other) = Url::parse(&format!("{}{changed}", &url[..start]))
    {
        *url = other;
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine;

    use super::*;

    #[test]
    fn a_secret_is_taken_out_and_put_in_as_it_was() {
        let secret = "s3cret/of+sixteen=chars";
        let secrets = [("a".to_owned(), Secret::new("short")), ("b".to_owned(), Secret::new(secret))];
        let encoded = STANDARD_NO_PAD.encode(format!("user:{secret}"));
        for given in [
            format!("https://h.example/bot{secret}/items?x=1"),
            format!("https://h.example/a?k={}", utf8_percent_encode(secret, NON_ALPHANUMERIC)),
            "https://h.example/a?k=s3cret%2fof%2bsixteen%3dchars&short".to_owned(),
            format!("https://h.example/a?auth={}", encoded.replace('+', "%2B")),
        ] {
            let url = Url::parse(&given).unwrap();
            let mut changed = url.clone();
            take_out(&mut changed, &secrets, true);
            assert!(changed.as_str().contains(PLACE), "{given}");
            for part in ["sixteen", &within_base64_of(secret)] {
                assert!(!changed.as_str().contains(part), "{changed}");
            }
            assert!(words(changed.as_str()).iter().all(|word| is_word(word)), "{changed}");
            put_in(&mut changed, &secrets);
            assert_eq!(changed, url);
        }
    }

    fn within_base64_of(secret: &str) -> String {
        String::from_utf8(within_base64(&STANDARD_NO_PAD, secret, 5 % 3)).unwrap()
    }
}
