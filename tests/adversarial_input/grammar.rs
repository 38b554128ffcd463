//! RFC 8259 by its grammar: an oracle that shares no code with the library, and none with `serde_json`.
//!
//! It says whether bytes are a JSON text, and where each value stands. It knows no numbers and no limits, and it
//! does not recurse.

use std::ops::Range;

/// A JSON text, taken apart.
pub(crate) struct Document<'a> {
    text: &'a [u8],
    nodes: Vec<Node>,
}

/// A value, and where it stands.
pub(crate) struct Node {
    pub(crate) span: Range<usize>,
    pub(crate) kind: Kind,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Null,
    Boolean,
    Number,
    String,
    Array(Vec<usize>),
    /// The keys, quotes and all, and the values.
    Object(Vec<(Range<usize>, usize)>),
}

/// What may come next.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Want {
    Value,
    ValueOrEnd,
    Key,
    KeyOrEnd,
    CommaOrEnd,
}

impl<'a> Document<'a> {
    /// Takes a JSON text apart; `None` if it is none (RFC 8259 §2 to §8).
    pub(crate) fn read(text: &'a [u8]) -> Option<Self> {
        std::str::from_utf8(text).ok()?;
        let mut nodes: Vec<Node> = Vec::new();
        let mut open: Vec<usize> = Vec::new();
        let mut key = 0..0;
        let mut want = Want::Value;
        let mut at = 0;
        loop {
            at += blanks(&text[at..]);
            let first = *text.get(at)?;
            let ends = matches!(want, Want::ValueOrEnd | Want::KeyOrEnd | Want::CommaOrEnd);
            match (want, first) {
                (_, b']' | b'}') if ends => {
                    let node = &mut nodes[open.pop()?];
                    if (first == b']') != matches!(node.kind, Kind::Array(_)) {
                        return None;
                    }
                    at += 1;
                    node.span.end = at;
                    want = Want::CommaOrEnd;
                }
                (Want::CommaOrEnd, b',') => {
                    at += 1;
                    let is_array = matches!(nodes[*open.last()?].kind, Kind::Array(_));
                    want = if is_array { Want::Value } else { Want::Key };
                }
                (Want::Key | Want::KeyOrEnd, b'"') => {
                    key = at..at + string(&text[at..])?;
                    at = key.end + blanks(&text[key.end..]);
                    if text.get(at) != Some(&b':') {
                        return None;
                    }
                    at += 1;
                    want = Want::Value;
                }
                (Want::Value | Want::ValueOrEnd, _) => {
                    let (kind, length, then) = match first {
                        b'{' => (Kind::Object(Vec::new()), 1, Want::KeyOrEnd),
                        b'[' => (Kind::Array(Vec::new()), 1, Want::ValueOrEnd),
                        b'"' => (Kind::String, string(&text[at..])?, Want::CommaOrEnd),
                        b'-' | b'0'..=b'9' => (Kind::Number, number(&text[at..])?, Want::CommaOrEnd),
                        _ => {
                            let (word, kind) =
                                [("null", Kind::Null), ("true", Kind::Boolean), ("false", Kind::Boolean)]
                                    .into_iter()
                                    .find(|(word, _)| text[at..].starts_with(word.as_bytes()))?;
                            (kind, word.len(), Want::CommaOrEnd)
                        }
                    };
                    let node = nodes.len();
                    if let Some(parent) = open.last() {
                        match &mut nodes[*parent].kind {
                            Kind::Array(items) => items.push(node),
                            Kind::Object(fields) => fields.push((key.clone(), node)),
                            _ => return None,
                        }
                    }
                    if matches!(kind, Kind::Array(_) | Kind::Object(_)) {
                        open.push(node);
                    }
                    nodes.push(Node { span: at..at + length, kind });
                    at += length;
                    want = then;
                }
                _ => return None,
            }
            if open.is_empty() {
                let rest = &text[at..];
                return (blanks(rest) == rest.len()).then_some(Self { text, nodes });
            }
        }
    }

    /// The value that is the whole text.
    pub(crate) fn root(&self) -> &Node {
        &self.nodes[0]
    }

    /// A value by its number.
    pub(crate) fn node(&self, number: usize) -> &Node {
        &self.nodes[number]
    }

    /// The bytes of a value.
    pub(crate) fn bytes(&self, node: &Node) -> &'a [u8] {
        &self.text[node.span.clone()]
    }

    /// The bytes of a key or another part.
    pub(crate) fn part(&self, span: &Range<usize>) -> &'a [u8] {
        &self.text[span.clone()]
    }

    /// Every value that a path leads to: more than one if a key is there twice.
    pub(crate) fn at(&self, path: &[String]) -> Vec<&Node> {
        let mut found = vec![0];
        for segment in path {
            let step = |number: usize| match &self.nodes[number].kind {
                Kind::Array(items) => items
                    .iter()
                    .enumerate()
                    .filter(|(index, _)| index.to_string() == *segment)
                    .map(|(_, item)| *item)
                    .collect(),
                Kind::Object(fields) => {
                    let named =
                        fields.iter().filter(|(key, _)| decoded(self.part(key)).as_ref() == Some(segment));
                    named.map(|(_, value)| *value).collect()
                }
                _ => Vec::new(),
            };
            found = found.into_iter().flat_map(step).collect();
        }
        found.into_iter().map(|number| &self.nodes[number]).collect()
    }
}

/// The tokens of a JSON text, without the blanks between them.
pub(crate) fn tokens(text: &[u8]) -> Vec<&[u8]> {
    let mut tokens = Vec::new();
    let mut at = 0;
    while at < text.len() {
        let rest = &text[at..];
        let word = |byte: &&u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'+' | b'.');
        let length = match rest[0] {
            b' ' | b'\t' | b'\n' | b'\r' => {
                at += 1;
                continue;
            }
            b'"' => string(rest).expect("a valid string"),
            b'{' | b'}' | b'[' | b']' | b':' | b',' => 1,
            _ => rest.iter().take_while(word).count(),
        };
        assert!(length > 0, "no token of JSON");
        tokens.push(&rest[..length]);
        at += length;
    }
    tokens
}

/// What a string stands for; `None` if it holds a half of a surrogate pair (RFC 8259 §8.2).
pub(crate) fn decoded(string: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(string).ok()?;
    let mut units: Vec<u16> = Vec::new();
    let mut chars = text[1..text.len() - 1].chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            units.extend(c.encode_utf16(&mut [0; 2]).iter());
            continue;
        }
        units.push(match chars.next()? {
            'b' => 8,
            'f' => 12,
            'n' => 10,
            'r' => 13,
            't' => 9,
            'u' => (0..4)
                .try_fold(0, |code, _| Some(code * 16 + u16::try_from(chars.next()?.to_digit(16)?).ok()?))?,
            other => u16::try_from(u32::from(other)).ok()?,
        });
    }
    String::from_utf16(&units).ok()
}

fn blanks(text: &[u8]) -> usize {
    text.iter().take_while(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r')).count()
}

/// How long a string is, quotes and all (§7).
fn string(text: &[u8]) -> Option<usize> {
    let mut at = 1;
    loop {
        at += match *text.get(at)? {
            b'"' => return Some(at + 1),
            0..=0x1F => return None,
            b'\\' => match *text.get(at + 1)? {
                b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => 2,
                b'u' if text.get(at + 2..at + 6)?.iter().all(u8::is_ascii_hexdigit) => 6,
                _ => return None,
            },
            _ => 1,
        };
    }
}

/// How long a number is (§6).
fn number(text: &[u8]) -> Option<usize> {
    let digits =
        |at: usize| text[at.min(text.len())..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    let mut at = usize::from(text.first() == Some(&b'-'));
    let whole = digits(at);
    // No number begins with a zero that is not all of its whole part; what follows is no token then.
    at += if text.get(at) == Some(&b'0') { 1 } else { whole };
    if whole == 0 {
        return None;
    }
    if text.get(at) == Some(&b'.') {
        let fraction = digits(at + 1);
        if fraction == 0 {
            return None;
        }
        at += 1 + fraction;
    }
    if matches!(text.get(at), Some(b'e' | b'E')) {
        at += 1 + usize::from(matches!(text.get(at + 1), Some(b'+' | b'-')));
        let exponent = digits(at);
        if exponent == 0 {
            return None;
        }
        at += exponent;
    }
    Some(at)
}
