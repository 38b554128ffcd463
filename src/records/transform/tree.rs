//! Paths, as a tree that is walked along with a record.

use std::fmt;

use memchr::memmem;

use crate::page::JsonPath;
use crate::page::splice::quoted;
use crate::records::object::{Field, fields, items};

/// So many arrays in arrays, or levels that are flattened, are gone into. A record may be nested a million deep: the stack is
/// not, and each level is read again.
pub(super) const DEEPEST: usize = 32;

/// Where paths lead.
#[derive(Debug, Clone, Default)]
pub(super) struct Tree {
    /// Whether a path ends here.
    is_end: bool,
    /// In the order of their names.
    below: Vec<Branch>,
}

#[derive(Debug, Clone)]
struct Branch {
    name: String,
    /// Finds the key as it stands if nothing in it is escaped.
    key: memmem::Finder<'static>,
    tree: Tree,
}

impl Tree {
    pub(super) fn insert(&mut self, path: &[String]) {
        let end = path.iter().fold(self, |tree, name| {
            let place = tree.below.binary_search_by(|branch| branch.name.cmp(name));
            let place = place.unwrap_or_else(|place| {
                let key = memmem::Finder::new(&quoted(name)).into_owned();
                tree.below.insert(place, Branch { name: name.clone(), key, tree: Self::default() });
                place
            });
            &mut tree.below[place].tree
        });
        end.is_end = true;
    }

    pub(super) fn is_end(&self) -> bool {
        self.is_end
    }

    /// What of it lies behind a field.
    pub(super) fn behind(&self, field: &Field<'_>) -> Option<&Self> {
        self.below.iter().find(|branch| field.is(&branch.name)).map(|branch| &branch.tree)
    }

    /// Whether a text may have a key that a path begins with. It is only read, not taken apart: what looks like a key may be
    /// something else, but where there is nothing that looks like one, there is none.
    pub(super) fn may_begin_in(&self, text: &Text<'_>) -> bool {
        text.has_escapes || self.below.iter().any(|branch| branch.key.find(text.bytes).is_some())
    }
}

/// The text of a record, or of many.
#[derive(Debug, Clone, Copy)]
pub(super) struct Text<'t> {
    bytes: &'t [u8],
    /// Whether it may have keys that are written with an escape.
    has_escapes: bool,
}

impl<'t> Text<'t> {
    /// `is_plain` says that no key has an escape.
    pub(super) fn new(bytes: &'t [u8], is_plain: bool) -> Self {
        // A backslash is a part of strings alone. In a string it is seldom one of a key, but that cannot be told from here.
        Self { bytes, has_escapes: !is_plain && memchr::memchr(b'\\', bytes).is_some() }
    }

    /// Whether there may be objects in the object, or objects behind the first.
    pub(super) fn has_nested_objects(&self) -> bool {
        self.bytes.get(1..).is_some_and(|rest| memchr::memchr(b'{', rest).is_some())
    }
}

/// The paths, one a line.
impl fmt::Display for Tree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fn paths(tree: &Tree, path: &mut Vec<String>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            if tree.is_end {
                writeln!(f, "{}", JsonPath::of(path))?;
            }
            for branch in &tree.below {
                path.push(branch.name.clone());
                paths(&branch.tree, path, f)?;
                path.pop();
            }
            Ok(())
        }
        paths(self, &mut Vec::new(), f)
    }
}

/// Appends an object or an array, without the blanks between its parts, unless that turns out to be needless.
pub(super) struct Rebuilt<'o> {
    out: &'o mut Vec<u8>,
    start: usize,
    is_changed: bool,
}

impl<'o> Rebuilt<'o> {
    pub(super) fn begin(out: &'o mut Vec<u8>, open: u8) -> Self {
        let start = out.len();
        out.push(open);
        Self { out, start, is_changed: false }
    }

    /// Appends a part: `write` says whether it is another than before. A part of which nothing is written goes.
    pub(super) fn part(&mut self, write: impl FnOnce(&mut Vec<u8>) -> bool) {
        let before = self.out.len();
        if before > self.start + 1 {
            self.out.push(b',');
        }
        let begin = self.out.len();
        self.is_changed |= write(self.out);
        if self.out.len() == begin {
            self.out.truncate(before);
        }
    }

    /// Whether anything has changed; otherwise nothing is appended.
    pub(super) fn end(self, close: u8) -> bool {
        if self.is_changed {
            self.out.push(close);
        } else {
            self.out.truncate(self.start);
        }
        self.is_changed
    }
}

/// Appends a value in which the fields at the ends of a tree are written by a closure; `false`, and nothing appended, if
/// nothing changes. The closure says whether it has written another field than there was; what it does not write is dropped.
/// An array that is too deep to be gone into may have such fields, and nobody is to see them: the other closure writes what
/// takes its place.
pub(super) fn edit(
    value: &[u8],
    tree: &Tree,
    out: &mut Vec<u8>,
    at_end: &dyn Fn(&Field<'_>, &mut Vec<u8>) -> bool,
    too_deep: &dyn Fn(&[u8], &mut Vec<u8>),
) -> bool {
    edit_at(value, tree, out, (at_end, too_deep), 0)
}

type Edits<'a> = (&'a dyn Fn(&Field<'_>, &mut Vec<u8>) -> bool, &'a dyn Fn(&[u8], &mut Vec<u8>));

fn edit_at(
    value: &[u8],
    tree: &Tree,
    out: &mut Vec<u8>,
    (at_end, too_deep): Edits<'_>,
    depth: usize,
) -> bool {
    match value.first() {
        Some(b'{') => {
            let mut object = Rebuilt::begin(out, b'{');
            for field in fields(value) {
                object.part(|out| match tree.behind(&field) {
                    Some(behind) if behind.is_end => at_end(&field, out),
                    Some(behind) => or_as_it_is(field.text, out, |out| {
                        append_key(field.key, out);
                        edit_at(field.value, behind, out, (at_end, too_deep), depth)
                    }),
                    None => as_it_is(field.text, out),
                });
            }
            object.end(b'}')
        }
        Some(b'[') if depth < DEEPEST => {
            let mut array = Rebuilt::begin(out, b'[');
            for item in items(value) {
                array.part(|out| {
                    or_as_it_is(item, out, |out| edit_at(item, tree, out, (at_end, too_deep), depth + 1))
                });
            }
            array.end(b']')
        }
        Some(b'[') => {
            too_deep(value, out);
            true
        }
        _ => false,
    }
}

pub(super) fn append_key(key: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(key);
    out.push(b':');
}

pub(super) fn as_it_is(text: &[u8], out: &mut Vec<u8>) -> bool {
    out.extend_from_slice(text);
    false
}

/// What the closure writes, or the text if nothing changes by it.
pub(super) fn or_as_it_is(text: &[u8], out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>) -> bool) -> bool {
    let begin = out.len();
    if write(out) {
        return true;
    }
    out.truncate(begin);
    as_it_is(text, out)
}
