//! The names of finished files.

use super::finals::Shape;
use crate::error::{Error, Result};

/// What stands for the parts of a name.
const PLACEHOLDERS: [&str; 4] = ["{source}", "{start}", "{part}", "{date}"];

/// `{source}_{start}_{part}`, taken apart.
#[derive(Debug, Clone)]
pub(super) struct Template(String);

/// What a name is made of.
#[derive(Debug, Clone, Copy)]
pub(super) struct Named<'a> {
    pub(super) source: &'a str,
    pub(super) start: &'a str,
    pub(super) part: u64,
    pub(super) date: &'a str,
}

impl Template {
    /// # Errors
    /// `Config` if names would not be file names, or not be those of one file each.
    pub(super) fn new(text: &str, names_source: bool) -> Result<Self> {
        let refused = |why: &str| {
            Err(Error::config(format!("{text:?} cannot be a template of file names: {why}"))
                .advice("write one like \"{source}/{start}_{part}\"; it may have {source}, {start}, {part} and {date}"))
        };
        let mut rest = text.to_owned();
        for placeholder in PLACEHOLDERS {
            rest = rest.replace(placeholder, "x");
        }
        if rest.contains(['{', '}']) {
            return refused("it has braces that are no placeholder");
        }
        if rest.contains(['\\', ':', '*', '?', '"', '<', '>', '|']) || rest.contains(char::is_control) {
            return refused("it has characters that no file name has everywhere");
        }
        if rest.split('/').any(|part| part.is_empty() || part.starts_with('.') || part.ends_with(['.', ' ']))
        {
            return refused("a part of the path is empty, or begins or ends with a dot");
        }
        for wanted in ["{start}", "{part}"] {
            if !text.contains(wanted) {
                return refused(&format!("without {wanted} two files would have the same name"));
            }
        }
        if !names_source && !text.contains("{source}") {
            return refused("without {source}, or folders by source, two sources would have the same names");
        }
        Ok(Self(text.to_owned()))
    }

    pub(super) fn has_date(&self) -> bool {
        self.0.contains("{date}")
    }

    pub(super) fn name(&self, named: Named<'_>) -> String {
        // No value has a brace in it.
        self.0
            .replace("{source}", named.source)
            .replace("{start}", named.start)
            .replace("{part}", &format!("{:05}", named.part))
            .replace("{date}", named.date)
    }

    /// The shapes of the folders that it names, and of the file, for a source.
    pub(super) fn shapes(&self, source: &str) -> Vec<Shape> {
        self.0.split('/').map(|part| Shape::of_template(part, source)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_that_would_leave_the_folder_or_name_two_files_alike_is_refused() {
        for text in [
            "",
            "/{source}_{start}_{part}",
            "../{source}_{start}_{part}",
            "{source}/../{start}_{part}",
            "{source}//{start}_{part}",
            ".{source}_{start}_{part}",
            "{source}_{part}",
            "{source}_{start}",
            "{start}_{part}",
            "{source}_{start}_{part}_{other}",
            "{source}_{start}_{part}{",
            "c:{source}_{start}_{part}",
            "{source}\\{start}_{part}",
        ] {
            assert!(Template::new(text, false).is_err(), "{text}");
        }
        assert!(Template::new("{start}_{part}", true).is_ok());
    }
}
