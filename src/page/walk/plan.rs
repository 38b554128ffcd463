//! The paths to look at, as a tree, so that one pass serves them all.

use crate::page::JsonPath;

/// The way to records, from the document down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Route {
    pub(crate) steps: Vec<Step>,
    /// Whether what stands at its end may be a record itself, so that its span is wanted.
    pub(crate) whole: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    Key(String),
    /// Every item of an array, every value of an object.
    Any,
    /// Every value of an object.
    Values,
}

/// What kind of document is walked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Shape {
    #[default]
    Json,
    /// Made of XML: what stands there once may stand there more than once.
    Elements,
}

/// What one walk looks for.
#[derive(Debug, Clone, Default)]
pub(crate) struct Plan {
    pub(super) root: Node,
    pub(super) captures: usize,
    pub(super) routes: usize,
    pub(super) shape: Shape,
}

#[derive(Debug, Clone, Default)]
pub(super) struct Node {
    /// The routes that end here.
    pub(super) ends: Vec<usize>,
    /// The routes that lead through here or end here.
    pub(super) through: Vec<usize>,
    /// The routes whose last key is one of this node: in a document of elements they may end here with nothing.
    pub(super) parent_of: Vec<usize>,
    pub(super) captures: Vec<usize>,
    pub(super) children: Vec<(String, Node)>,
    pub(super) any: Option<Box<Node>>,
    pub(super) values: Option<Box<Node>>,
    /// The text of an element, which stands there by itself if the element has nothing else.
    pub(super) text: Option<usize>,
    /// Whether the span of the value is wanted.
    pub(super) whole: bool,
}

impl Plan {
    /// For what stands at these paths of a JSON document.
    pub(crate) fn new(captures: &[JsonPath]) -> Self {
        Self::over(&[], captures, Shape::Json)
    }

    pub(crate) fn over(routes: &[Route], captures: &[JsonPath], shape: Shape) -> Self {
        let mut root = Node::default();
        for (index, route) in routes.iter().enumerate() {
            root.lead(index, route);
        }
        for (index, path) in captures.iter().enumerate() {
            let end = path.segments().iter().fold(&mut root, |node, segment| node.child(segment));
            end.captures.push(index);
            end.whole = true;
        }
        if shape == Shape::Elements {
            root.expect_elements();
        }
        Self { root, captures: captures.len(), routes: routes.len(), shape }
    }
}

impl Node {
    fn lead(&mut self, index: usize, route: &Route) {
        let mut node = self;
        for (depth, step) in route.steps.iter().enumerate() {
            node.through.push(index);
            let is_last_key = !route.steps[depth + 1..].iter().any(|step| matches!(step, Step::Key(_)));
            // The document is no parent: what it holds may be anything.
            if depth > 0 && is_last_key && matches!(step, Step::Key(_)) {
                node.parent_of.push(index);
            }
            node = match step {
                Step::Key(key) => node.child(key),
                Step::Any => node.any.get_or_insert_default(),
                Step::Values => node.values.get_or_insert_default(),
            };
        }
        node.through.push(index);
        node.ends.push(index);
        node.whole |= route.whole;
    }

    fn child(&mut self, name: &str) -> &mut Self {
        let at = self.children.iter().position(|(other, _)| other == name).unwrap_or_else(|| {
            // There is one, mostly, and there may be thousands of sources.
            self.children.reserve_exact(1);
            self.children.push((name.to_owned(), Self::default()));
            self.children.len() - 1
        });
        &mut self.children[at].1
    }

    fn expect_elements(&mut self) {
        self.text = self.children.iter().position(|(name, _)| name == "#text");
        self.whole |= self.text.is_some() || self.any.is_some() || !self.ends.is_empty();
        let below = self.children.iter_mut().map(|(_, node)| node);
        let each = self.any.as_deref_mut().into_iter().chain(self.values.as_deref_mut());
        below.chain(each).for_each(Self::expect_elements);
    }
}
