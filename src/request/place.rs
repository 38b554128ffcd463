//! Credentials in the URLs that a server gives: taken out before a URL is stored, put in again before it is asked.
//!
//! A place is a word that stands for a credential in one spelling. It holds nothing of it, so a checkpoint can hold
//! it; and when the credential is replaced, the place stands for the new one. Places are filled for the home origin
//! only: a server that writes one by itself has its own credential sent to itself.

use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use url::{Position, Url};

use super::redact::within_base64;
use super::{Secret, TELLING};

/// Of a credential in the query that was written by hand, this is the whole value.
pub(crate) const PLACE: &str = "headwater-credential";

/// How a secret can stand in a URL. A new spelling comes last, for places are stored.
fn spellings(secret: &str) -> Vec<String> {
    let percent = utf8_percent_encode(secret, NON_ALPHANUMERIC).to_string();
    let form: String = url::form_urlencoded::byte_serialize(secret.as_bytes()).collect();
    let lower = lower_hex(&percent);
    let mut spellings = vec![secret.to_owned(), form, percent, lower];
    for engine in [&STANDARD_NO_PAD, &URL_SAFE_NO_PAD] {
        for phase in 0..3 {
            let encoded = String::from_utf8(within_base64(engine, secret, phase)).unwrap_or_default();
            let percent = utf8_percent_encode(&encoded, NON_ALPHANUMERIC).to_string();
            spellings.extend([encoded, percent]);
        }
    }
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

fn places(secrets: &[Secret]) -> impl Iterator<Item = (String, String)> {
    let telling = secrets.iter().enumerate().filter(|(_, secret)| secret.expose().len() >= TELLING);
    telling.flat_map(|(number, secret)| {
        let spellings = spellings(secret.expose()).into_iter().enumerate();
        spellings.map(move |(spelling, text)| (format!("{PLACE}-{number}-{spelling}-"), text))
    })
}

/// Puts a place where one of the secrets stands: in the path or the query, and anywhere if it is not our own origin.
pub(crate) fn take_out(url: &mut Url, secrets: &[Secret], is_home: bool) {
    let start = if is_home { Position::BeforePath } else { Position::BeforeUsername };
    change(url, start, |text| {
        places(secrets).fold(text, |text, (place, secret)| match text.contains(&secret) {
            true => text.replace(&secret, &place),
            false => text,
        })
    });
}

/// Puts the secrets where their places are.
pub(crate) fn put_in(url: &mut Url, secrets: impl FnOnce() -> Vec<Secret>) {
    if url.as_str().contains(PLACE) {
        let secrets = secrets();
        change(url, Position::BeforePath, |text| {
            places(&secrets).fold(text, |text, (place, secret)| text.replace(&place, &secret))
        });
    }
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
        let secrets = [Secret::new("short"), Secret::new(secret)];
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
            put_in(&mut changed, || secrets.to_vec());
            assert_eq!(changed, url);
        }
    }

    fn within_base64_of(secret: &str) -> String {
        String::from_utf8(within_base64(&STANDARD_NO_PAD, secret, 5 % 3)).unwrap()
    }
}
