//! The names of finished files.

use chrono::NaiveDate;

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

    /// Whether a name in the output folder is one that was given for this source, as far as that can be told.
    pub(super) fn is_of(&self, source: &str, name: &str) -> bool {
        let (first, is_folder) = match self.0.split_once('/') {
            Some((first, _)) => (first, true),
            None => (self.0.as_str(), false),
        };
        if first == "{source}" && is_folder {
            return name == source;
        }
        let Some(rest) = first.strip_prefix("{source}") else { return false };
        let Some(rest) = rest.split_once("{start}") else { return false };
        let start = name.strip_prefix(source).and_then(|name| name.strip_prefix(rest.0)).unwrap_or_default();
        let day = start.get(..8).and_then(|day| NaiveDate::parse_from_str(day, "%Y%m%d").ok());
        day.is_some() && start[8..].starts_with('T')
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

    #[test]
    fn a_name_is_told_from_those_of_a_source_with_a_longer_name() {
        let template = Template::new("{source}_{start}_{part}", false).unwrap();
        let named = Named { source: "a", start: "20260517T100000Z", part: 7, date: "" };
        assert_eq!(template.name(named), "a_20260517T100000Z_00007");
        assert!(template.is_of("a", "a_20260517T100000Z_00007.jsonl"));
        assert!(!template.is_of("a", "a_b_20260517T100000Z_00007.jsonl"));
        let folders = Template::new("{source}/{date}/{start}-{part}", false).unwrap();
        assert!(folders.is_of("a", "a") && !folders.is_of("a", "a_b"));
    }
}
