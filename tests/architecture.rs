//! The way of the data, in the file tree: a module uses only those to its left.

use std::path::{Path, PathBuf};

/// The modules in the order of the picture in `src/lib.rs`.
const ORDER: [&str; 21] = [
    "hints",
    "error",
    "request",
    "mark",
    "meter",
    "page",
    "transport",
    "fs",
    "auth",
    "exchange",
    "paginate",
    "limit",
    "retry",
    "pages",
    "records",
    "schema",
    "checkpoint",
    "sink",
    "source",
    "presets",
    "pipeline",
];
/// They gather what the others have.
const LAST: [&str; 3] = ["prelude", "testing", "lib"];

/// No adapter, paginator, sink or store is larger than this, its tests included.
const MOST_LINES: usize = 400;

fn files() -> Vec<PathBuf> {
    fn walk(dir: &Path, files: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(dir).expect("src can be read") {
            let path = entry.expect("an entry can be read").path();
            if path.is_dir() {
                walk(&path, files);
            } else {
                files.push(path);
            }
        }
    }
    let mut files = Vec::new();
    walk(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut files);
    files.sort();
    files
}

fn module_of(file: &Path) -> String {
    let inside = file.strip_prefix(Path::new(env!("CARGO_MANIFEST_DIR")).join("src")).expect("a file of src");
    let first =
        inside.components().next().expect("a file has a name").as_os_str().to_string_lossy().into_owned();
    first.trim_end_matches(".rs").to_owned()
}

/// The modules that a file names as `crate::module`, in code and not in comments.
fn uses(text: &str) -> Vec<&str> {
    text.lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .flat_map(|line| line.match_indices("crate::").map(move |(at, found)| &line[at + found.len()..]))
        .map(|rest| rest.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').next().unwrap_or_default())
        .collect()
}

#[test]
fn a_module_uses_only_those_to_its_left() {
    let rank = |module: &str| ORDER.iter().position(|other| *other == module);
    let mut wrong = Vec::new();
    let mut arrows = 0;
    for file in files() {
        let module = module_of(&file);
        if LAST.contains(&module.as_str()) {
            continue;
        }
        let here = rank(&module).unwrap_or_else(|| panic!("{module} has no place in the order"));
        let text = std::fs::read_to_string(&file).expect("a source file can be read");
        for used in uses(&text) {
            arrows += 1;
            match rank(used) {
                Some(there) if there <= here => {}
                _ => wrong.push(format!("{} uses {used}", file.display())),
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(arrows > 100, "only {arrows} uses were seen: the test no longer reads the code");
}

#[test]
fn no_file_has_grown_too_large() {
    let large: Vec<String> = files()
        .iter()
        .map(|file| (file, std::fs::read_to_string(file).expect("a source file can be read").lines().count()))
        .filter(|(_, lines)| *lines > MOST_LINES)
        .map(|(file, lines)| format!("{} has {lines} lines", file.display()))
        .collect();
    assert!(large.is_empty(), "{}", large.join("\n"));
}

#[test]
fn nothing_is_called_utils() {
    for file in files() {
        let name = file.file_stem().expect("a file has a name").to_string_lossy().into_owned();
        assert!(
            !["utils", "util", "common", "helpers", "misc"].contains(&name.as_str()),
            "{}",
            file.display()
        );
    }
}
