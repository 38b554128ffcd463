//! What stands behind a page, before the page in between has been seen.

use super::Position;

/// A position that will probably come, and how many records of the run then lie before it, if that decides anything.
///
/// ```
/// use headwater::page::JsonPath;
/// use headwater::paginate::{Answer, Consistency, Foreseen, Paginate};
/// use headwater::{Position, Request, Result};
///
/// /// `/blocks?height=7`, as far as `"top"` says: every block is a page, so all of them are known after the first.
/// #[derive(Debug)]
/// struct Blocks;
///
/// impl Blocks {
///     fn top(answer: &Answer<'_>) -> u64 {
///         answer.value(0).and_then(|top| top.as_u64()).unwrap_or(0)
///     }
/// }
///
/// impl Paginate for Blocks {
///     fn reads(&self) -> Result<Vec<JsonPath>> {
///         Ok(vec![JsonPath::parse("top")?])
///     }
///
///     fn request(&self, template: &Request, position: &Position) -> Result<Request> {
///         let height = if let Position::Page(height) = position { *height } else { 0 };
///         Ok(template.clone().with_query("height", height.to_string()))
///     }
///
///     fn next(&self, answer: &Answer<'_>) -> Result<Option<Position>> {
///         let height = if let Position::Page(height) = answer.position() { *height } else { 0 };
///         Ok((height < Self::top(answer)).then_some(Position::Page(height + 1)))
///     }
///
///     fn foresees(&self) -> bool {
///         true
///     }
///
///     fn foresee(&self, answer: &Answer<'_>, next: &Position, most: usize) -> Vec<Foreseen> {
///         let Position::Page(next) = next else { return Vec::new() };
///         let behind = next + 1..=Self::top(answer);
///         behind.take(most).map(|height| Foreseen::at(Position::Page(height))).collect()
///     }
///
///     fn consistency(&self) -> Consistency {
///         Consistency::Stable
///     }
///
///     fn definition(&self) -> String {
///         "blocks".into()
///     }
/// }
/// # use futures::StreamExt;
/// # use headwater::{Mark, Pages, pages::Lanes, testing::{Reply, Scripted}};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<()> {
/// # let api = Scripted::from_fn(|request, _| Reply::json(format!(r#"{{"top":9,"at":"{}"}}"#, request.url())));
/// # let (asked, first) = (api.clone(), Request::get("https://api.example.com/blocks")?);
/// # let make = move |mark| Pages::new(asked.clone(), first.clone(), Blocks).resume(mark);
/// # let pages: Vec<_> = Lanes::new(4, Mark::start(), make).collect().await;
/// # assert!(pages.iter().all(|page| page.is_ok()));
/// # assert_eq!((pages.len(), api.urls().len()), (10, 10), "nothing behind the end is asked for");
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Foreseen {
    /// Where the page will stand.
    pub position: Position,
    /// How many records will lie before it; `None` where that makes no difference.
    pub rows_before: Option<u64>,
}

impl Foreseen {
    /// A position, and nothing about the records before it.
    pub fn at(position: Position) -> Self {
        Self { position, rows_before: None }
    }

    /// Says how many records will lie before it.
    pub fn rows_before(mut self, rows: u64) -> Self {
        self.rows_before = Some(rows);
        self
    }

    /// Whether what was asked for there is what has to come now.
    pub(crate) fn is(&self, now: &Self) -> bool {
        let rows = self.rows_before.zip(now.rows_before);
        self.position == now.position && rows.is_none_or(|(foreseen, now)| foreseen == now)
    }
}
