//! Names for columns: every field gets one that is free, whatever it is called.

use std::collections::HashSet;

use xxhash_rust::xxh3::xxh3_64;

use super::column::{INGESTED_AT, SOURCE};
use super::rules::Limits;

/// The names that are taken. Two names that differ in case alone are the same to many databases, so they are here.
#[derive(Debug, Default, Clone)]
pub(super) struct Names {
    taken: HashSet<String>,
}

impl Names {
    pub(super) fn take(&mut self, name: &str) -> bool {
        self.taken.insert(name.to_lowercase())
    }

    pub(super) fn is_free(&self, name: &str) -> bool {
        !self.taken.contains(&name.to_lowercase())
    }

    /// A name for a field, with something behind it.
    pub(super) fn free(&mut self, field: &str, suffix: &str, limits: &Limits) -> String {
        let plain = |c: char| match c {
            c if c.is_control() => '_',
            c if limits.plain_names && !(c.is_ascii_alphanumeric() || c == '_') => '_',
            c => c,
        };
        let mut name: String = field.chars().map(plain).collect();
        if name.is_empty() || (limits.plain_names && name.starts_with(|c: char| c.is_ascii_digit())) {
            name.insert(0, '_');
        }
        let mut ours = [SOURCE, INGESTED_AT].iter().chain(limits.reserved);
        if ours.any(|ours| name.eq_ignore_ascii_case(ours)) {
            name.push_str("_original");
        }
        name.push_str(suffix);
        if name.len() > limits.name {
            let hash = format!("_{:08x}{suffix}", xxh3_64(field.as_bytes()) as u32);
            name = cut(&name, limits.name.saturating_sub(hash.len())).to_owned() + &hash;
        }
        let mut count = 2_u64;
        let mut free = name.clone();
        while !self.take(&free) {
            let number = format!("_{count}");
            free = cut(&name, limits.name.saturating_sub(number.len())).to_owned() + &number;
            count += 1;
        }
        free
    }
}

/// The beginning of a text, of so many bytes at most.
fn cut(text: &str, bytes: usize) -> &str {
    let mut end = bytes.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_gets_a_name_of_its_own() {
        let mut names = Names::default();
        let limits = Limits::default();
        for (field, name) in [
            ("id", "id"),
            ("ID", "ID_2"),
            ("", "_"),
            ("__source", "__source_original"),
            ("__Source", "__Source_original_2"),
            ("a\u{0}b\n", "a_b_"),
            ("na\"me; DROP TABLE x--", "na\"me; DROP TABLE x--"),
        ] {
            assert_eq!(names.free(field, "", &limits), name, "{field}");
        }
        assert_eq!(names.free("id", "__text", &limits), "id__text");
        assert_eq!(names.free("id__text", "", &limits), "id__text_2");
    }

    #[test]
    fn a_long_name_is_cut_and_still_its_own() {
        let limits = Limits::default().name_bytes(63).plain_names();
        let mut names = Names::default();
        let long = "é".repeat(100);
        let cut: Vec<String> =
            [&long[..], &long[2..], &long[2..]].map(|field| names.free(field, "__text", &limits)).into();
        assert!(cut.iter().all(|name| name.len() <= 63 && name.is_ascii()), "{cut:?}");
        assert!(cut[0] != cut[1] && cut[1] != cut[2] && cut[0].ends_with("__text"), "{cut:?}");
        assert_eq!(names.free("1st-name", "", &limits), "_1st_name");
    }
}
