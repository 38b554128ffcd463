//! The names of sources.

use crate::error::{Error, Result};

const LONGEST: usize = 100;

/// Accepts a name that can be a part of a file name on every system: ASCII letters, digits, `_`, `-` and
/// `.`, beginning with a letter or a digit.
///
/// # Errors
/// `Config`, with a name that would do.
pub(super) fn check(name: &str) -> Result<()> {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    let starts = name.starts_with(|c: char| c.is_ascii_alphanumeric());
    if starts && name.len() <= LONGEST && name.chars().all(fits) {
        return Ok(());
    }
    let mended: String = name.chars().map(|c| if fits(c) { c } else { '_' }).take(LONGEST).collect();
    let mended = mended.trim_start_matches(|c: char| !c.is_ascii_alphanumeric());
    let shown: String = name.chars().take(LONGEST).collect();
    let error = Error::config(format!("{shown:?} cannot be the name of a source: it becomes a file name"));
    Err(if mended.is_empty() {
        error.advice("use letters, digits, \"_\", \"-\" and \".\"")
    } else {
        error.advice(format!("use letters, digits, \"_\", \"-\" and \".\", such as {mended:?}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_a_file_name_everywhere() {
        for good in ["a", "github_issues", "v1.2-beta", "0"] {
            check(good).unwrap();
        }
        for bad in [
            "",
            ".",
            "..",
            "../x",
            "a/b",
            "a\\b",
            ".hidden",
            "-x",
            "a b",
            "a\n",
            "ä",
            "a:b",
            &"x".repeat(101),
        ] {
            assert!(check(bad).is_err(), "{bad:?}");
        }
        assert!(check("../x").unwrap_err().to_string().ends_with("such as \"x\""));
    }
}
