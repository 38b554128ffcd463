//! A text as it may be meant.
//!
//! A server repeats what it was sent, in its own spelling: percent-encoded in either case, with `\/` or `\u002f` as
//! JSON may, as HTML entities, and one within the other. What stands around it may read as an escape together with
//! its beginning (`%` before `41`). So there is no one way to read a text: at each place it is what stands there, or
//! what an escape there stands for, or what the escape that this makes stands for.

use std::collections::BTreeSet;

use memchr::memchr3;

/// JSON in JSON, percent-encoded: nobody goes further.
const DEEPEST: usize = 3;
/// No escape is longer: `\ud83d\ude00`.
const LONGEST: usize = 12;

/// A text in all its readings.
pub(super) struct Reading {
    /// For each depth and each place: what is read there.
    depths: Vec<Vec<Token>>,
}

/// What is read at a place, and where the text goes on.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Token {
    bytes: [u8; 4],
    length: u8,
    end: usize,
}

impl Token {
    fn bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length)]
    }
}

impl Reading {
    pub(super) fn of(text: &[u8]) -> Self {
        let plain =
            |(at, byte): (usize, &u8)| Token { bytes: [blank(*byte), 0, 0, 0], length: 1, end: at + 1 };
        let mut depths = vec![text.iter().enumerate().map(plain).collect::<Vec<_>>()];
        if memchr3(b'%', b'\\', b'&', text).is_some() {
            for depth in 0..DEEPEST {
                let deeper = (0..text.len()).map(|at| unescaped(&depths[depth], at)).collect();
                depths.push(deeper);
            }
        }
        Self { depths }
    }

    /// What may be the first byte at a place.
    pub(super) fn firsts(&self, at: usize) -> impl Iterator<Item = u8> {
        self.depths.iter().filter_map(move |tokens| Some(tokens.get(at)?.bytes[0]))
    }

    /// Where a word ends that is read at this place; in the word, each plus is a blank.
    pub(super) fn word(&self, mut at: usize, word: &[u8]) -> Option<usize> {
        let mut read = 0;
        // Nearly always there is one way to go on.
        while read < word.len() {
            let mut ways = self.ways(at, &word[read..]);
            let first = ways.next()?;
            if ways.next().is_some() {
                break;
            }
            (read, at) = (read + first.bytes().len(), first.end);
        }
        // Where there are several, each place is reached once for each length: a word of backslashes has ways without
        // number to be read, but not many places.
        let mut reached = BTreeSet::from([(read, at)]);
        let mut end = None;
        while let Some((read, at)) = reached.pop_first() {
            if read == word.len() {
                end = end.max(Some(at));
            } else {
                reached.extend(
                    self.ways(at, &word[read..]).map(|token| (read + token.bytes().len(), token.end)),
                );
            }
        }
        end
    }

    /// The different tokens at a place that a word begins with.
    fn ways(&self, at: usize, word: &[u8]) -> impl Iterator<Item = Token> {
        let mut last = None;
        self.depths.iter().filter_map(move |tokens| {
            let token = *tokens.get(at)?;
            // What is no escape is the same at every depth.
            (last.replace(token) != Some(token) && word.starts_with(token.bytes())).then_some(token)
        })
    }
}

/// A plus may stand for a blank: both count as the same.
pub(super) fn blank(byte: u8) -> u8 {
    if byte == b'+' { b' ' } else { byte }
}

/// A text in its plain meaning: each escape is what it stands for.
pub(super) fn plain(text: &[u8]) -> Vec<u8> {
    let reading = Reading::of(text);
    let Some(tokens) = reading.depths.get(1) else { return text.to_vec() };
    let mut bytes = Vec::with_capacity(text.len());
    let mut at = 0;
    while let Some(token) = tokens.get(at) {
        bytes.extend_from_slice(token.bytes());
        at = token.end;
    }
    bytes
}

/// What is read at a place if the escapes in what was read so far count.
fn unescaped(tokens: &[Token], at: usize) -> Token {
    let read = tokens[at];
    if !matches!(read.bytes[0], b'%' | b'\\' | b'&') {
        return read;
    }
    let mut text = [0; LONGEST];
    let mut ends = [0; LONGEST];
    let (mut length, mut next) = (0, at);
    while let Some(token) = tokens.get(next) {
        next = token.end;
        // Escapes are all ASCII.
        if length == LONGEST || token.length > 1 {
            break;
        }
        (text[length], ends[length]) = (token.bytes[0], next);
        length += 1;
    }
    let Some((c, length)) = escape(&text[..length]) else { return read };
    let mut bytes = [0; 4];
    let length_of_char = match c {
        Meaning::Byte(byte) => {
            bytes[0] = blank(byte);
            1
        }
        Meaning::Char(c) => {
            let length = c.encode_utf8(&mut bytes).len();
            bytes[0] = blank(bytes[0]);
            length
        }
    };
    Token { bytes, length: length_of_char as u8, end: ends[length - 1] }
}

enum Meaning {
    Byte(u8),
    Char(char),
}

/// The escape that a text begins with: what it means, and how long it is.
fn escape(text: &[u8]) -> Option<(Meaning, usize)> {
    let ascii = |range: std::ops::Range<usize>| std::str::from_utf8(text.get(range)?).ok();
    let hex = |range| u32::from_str_radix(ascii(range)?, 16).ok();
    let byte = |range| Some(Meaning::Byte(u8::try_from(hex(range)?).ok()?));
    match text {
        [b'%', ..] => Some((byte(1..3)?, 3)),
        [b'\\', b'x', ..] => Some((byte(2..4)?, 4)),
        [b'\\', b'u', ..] => {
            let unit = hex(2..6)?;
            if let Some(c) = char::from_u32(unit) {
                return Some((Meaning::Char(c), 6));
            }
            // Half a surrogate pair, and the other half.
            let other = hex(8..12).filter(|_| text[6..].starts_with(b"\\u"))?;
            let pair = [u16::try_from(unit).ok()?, u16::try_from(other).ok()?];
            Some((Meaning::Char(char::decode_utf16(pair).next()?.ok()?), 12))
        }
        [b'\\', c, ..] => {
            const NAMED: [(u8, u8); 9] = [
                (b'/', b'/'),
                (b'"', b'"'),
                (b'\\', b'\\'),
                (b'\'', b'\''),
                (b'n', b'\n'),
                (b'r', b'\r'),
                (b't', b'\t'),
                (b'b', 8),
                (b'f', 12),
            ];
            NAMED.iter().find(|(name, _)| name == c).map(|(_, byte)| (Meaning::Byte(*byte), 2))
        }
        [b'&', b'#', ..] => {
            let end = text.iter().position(|byte| *byte == b';')?;
            let code = match text.get(2)? {
                b'x' | b'X' => hex(3..end)?,
                _ => ascii(2..end)?.parse().ok()?,
            };
            Some((Meaning::Char(char::from_u32(code)?), end + 1))
        }
        [b'&', ..] => {
            const NAMED: [(&[u8], u8); 5] =
                [(b"&amp;", b'&'), (b"&lt;", b'<'), (b"&gt;", b'>'), (b"&quot;", b'"'), (b"&apos;", b'\'')];
            let (name, byte) = NAMED.iter().find(|(name, _)| text.starts_with(name))?;
            Some((Meaning::Byte(*byte), name.len()))
        }
        _ => None,
    }
}
