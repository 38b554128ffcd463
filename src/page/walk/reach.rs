//! What stands at a path that may fork, in a document that may break off.

use super::key::decoded;
use super::scan::{Scanned, Scanner};

/// Whether the text of a value at a path, or of any where it forks (`*`), fits. What stands before a fault counts.
///
/// `is_element`: an element that stands there once is a list of one, and may be its text.
pub(crate) fn reaches(
    text: &str,
    path: &[String],
    is_element: bool,
    fits: &mut dyn FnMut(&str) -> bool,
) -> bool {
    Reach { text, is_element, fits }.at(&mut Scanner::new(text), path) == Ok(true)
}

struct Reach<'a> {
    text: &'a str,
    is_element: bool,
    fits: &'a mut dyn FnMut(&str) -> bool,
}

impl Reach<'_> {
    /// Goes through a value, or up to what fits in it.
    fn at(&mut self, text: &mut Scanner<'_>, path: &[String]) -> Scanned<bool> {
        let (first, start) = (text.peek()?, text.at());
        let Some((name, below)) = path.split_first() else {
            text.skip()?;
            return Ok((self.fits)(&self.text[start..text.at()]));
        };
        let stays = (name == "*" && first != b'[') || (name == "#text" && !matches!(first, b'{' | b'['));
        if self.is_element && stays {
            if self.at(text, below)? {
                return Ok(true);
            }
            text.go_to(start);
        }
        let close = match first {
            b'{' => b'}',
            b'[' => b']',
            // A scalar in the middle of the path leads nowhere.
            _ => return text.skip().map(|()| false),
        };
        let index = name.parse::<usize>().ok();
        let mut more = text.enter(close)?;
        for at in 0_usize.. {
            if !more {
                break;
            }
            let leads = match first {
                b'{' => decoded(text.key()?) == name.as_str(),
                _ => index == Some(at),
            };
            if !leads && name != "*" {
                text.skip()?;
            } else if self.at(text, below)? {
                return Ok(true);
            }
            more = text.more(close)?;
        }
        Ok(false)
    }
}
