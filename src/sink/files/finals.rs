//! Whether an earlier run has finished files of a source: looked for where no checkpoint knows of any, in all the folders that
//! they may be in.

use std::io;
use std::path::Path;

use crate::fs::Fs;

/// What a file, or one of its folders, may be called.
#[derive(Debug, Default)]
pub(super) struct Shape(Vec<Piece>);

#[derive(Debug)]
enum Piece {
    Text(String),
    /// `20260517T100000Z`, with `-2` and so on behind it or not.
    Start,
    /// `00001` and so on.
    Part,
    /// `2026-05-17`.
    Date,
    /// Whatever is left.
    Value,
}

impl Shape {
    /// A folder of which the value is not known: `country=DE`.
    pub(super) fn of_values(name: &str) -> Self {
        Self(vec![Piece::Text(format!("{name}=")), Piece::Value])
    }

    /// A name with placeholders that stand for what the name of the source does not say.
    pub(super) fn of_template(mut rest: &str, source: &str) -> Self {
        let mut pieces = Vec::new();
        while !rest.is_empty() {
            let at = rest.find('{').unwrap_or(rest.len());
            let (text, placeholder) = rest.split_at(at);
            pieces.push(Piece::Text(text.to_owned()));
            let end = placeholder.find('}').map_or(placeholder.len(), |end| end + 1);
            match &placeholder[..end] {
                "{source}" => pieces.push(Piece::Text(source.to_owned())),
                "{start}" => pieces.push(Piece::Start),
                "{part}" => pieces.push(Piece::Part),
                "{date}" => pieces.push(Piece::Date),
                text => pieces.push(Piece::Text(text.to_owned())),
            }
            rest = &placeholder[end..];
        }
        Self(pieces)
    }

    pub(super) fn and(mut self, text: &str) -> Self {
        self.0.push(Piece::Text(text.to_owned()));
        self
    }

    fn fits(&self, name: &str) -> bool {
        fits(&self.0, name)
    }
}

fn fits(pieces: &[Piece], text: &str) -> bool {
    let Some((piece, pieces)) = pieces.split_first() else { return text.is_empty() };
    let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
    // What may have more digits than one number is tried with all of them.
    let any_length = |text: &str| (1..=digits(text)).any(|length| fits(pieces, &text[length..]));
    match piece {
        Piece::Text(own) => text.strip_prefix(own.as_str()).is_some_and(|rest| fits(pieces, rest)),
        Piece::Value => true,
        Piece::Part => any_length(text),
        Piece::Date => behind(text, "0000-00-00").is_some_and(|rest| fits(pieces, rest)),
        Piece::Start => behind(text, "00000000T000000Z")
            .is_some_and(|rest| fits(pieces, rest) || rest.strip_prefix('-').is_some_and(any_length)),
    }
}

/// What stands behind a text in which digits are where the zeros of a pattern are.
fn behind<'a>(text: &'a str, pattern: &str) -> Option<&'a str> {
    let own = text.get(..pattern.len())?;
    let has_shape = own.bytes().zip(pattern.bytes()).all(|(byte, wanted)| match wanted {
        b'0' => byte.is_ascii_digit(),
        wanted => byte == wanted,
    });
    has_shape.then(|| &text[pattern.len()..])
}

/// Whether there is a file with a path of these shapes, one for each folder and the last one for the file.
pub(super) fn has_any(fs: &dyn Fs, dir: &Path, shapes: &[Shape]) -> io::Result<bool> {
    let Some((shape, below)) = shapes.split_first() else { return Ok(true) };
    for name in fs.names(dir)?.iter().filter(|name| shape.fits(name)) {
        if below.is_empty() {
            return Ok(true);
        }
        match has_any(fs, &dir.join(name), below) {
            Ok(false) => {}
            Err(error) if error.kind() == io::ErrorKind::NotADirectory => {}
            found => return found,
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_told_from_those_of_other_sources_and_templates() {
        let shape = |template, source| Shape::of_template(template, source).and(".jsonl");
        for (template, name) in [
            ("{source}_{start}_{part}", "a_20260517T100000Z_00007.jsonl"),
            ("{source}_{start}_{part}", "a_20260517T100000Z-2_100000.jsonl"),
            ("{start}-{part}", "20260517T100000Z-00001.jsonl"),
            ("{start}-{part}", "20260517T100000Z-2-00001.jsonl"),
            ("{date}.{part}.{source}.{start}", "2026-05-17.00001.a.20260517T100000Z.jsonl"),
        ] {
            assert!(shape(template, "a").fits(name), "{name}");
            assert!(!shape(template, "a").fits(&name.replace(".jsonl", ".csv")), "{name}");
        }
        for name in
            ["a_b_20260517T100000Z_00007.jsonl", "a_notes.jsonl", "a_20260517T100000Z_.jsonl", "a.jsonl"]
        {
            assert!(!shape("{source}_{start}_{part}", "a").fits(name), "{name}");
        }
        assert!(
            Shape::of_values("country").fits("country=DE") && !Shape::of_values("country").fits("country")
        );
    }
}
