//! Reading what a run has left behind.
#![allow(dead_code, reason = "each test file uses its part")]

use std::path::{Path, PathBuf};

/// The files of a source, oldest first.
pub(crate) fn files_of(dir: &Path, source: &str) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(dir)
        .expect("the folder can be read")
        .map(|entry| entry.expect("an entry can be read").path())
        .filter(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            name.strip_prefix(source).is_some_and(|rest| rest.starts_with("_2") && rest.ends_with(".jsonl"))
        })
        .collect();
    files.sort_by_key(|path| (path.to_string_lossy().len(), path.clone()));
    files
}

/// The ids in a file, line by line; every line must be whole.
pub(crate) fn ids_in(file: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(file).expect("the file can be read");
    assert!(text.is_empty() || text.ends_with('\n'), "{} ends in a torn line", file.display());
    let id = |line: &str| {
        let line: serde_json::Value =
            serde_json::from_str(line).unwrap_or_else(|error| panic!("a torn line: {error}: {line}"));
        match &line["id"] {
            serde_json::Value::String(id) => id.clone(),
            other => other.to_string(),
        }
    };
    text.lines().map(id).collect()
}

/// The ids in all files of a source.
pub(crate) fn ids_of(dir: &Path, source: &str) -> Vec<String> {
    files_of(dir, source).iter().flat_map(|file| ids_in(file)).collect()
}
