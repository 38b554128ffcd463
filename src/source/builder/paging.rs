//! How the API pages, and where the records are.

use std::sync::Arc;

use super::SourceBuilder;
use crate::page::{Format, Select};
use crate::paginate::Paginate;

impl SourceBuilder {
    /// Says where the records are: a dotted path or a JSON Pointer; `""` if the page itself is the array; a [`Select`] for
    /// several arrays, maps and single objects.
    pub fn records(mut self, records: impl Into<Select>) -> Self {
        self.records = Some(records.into());
        self
    }

    /// Says what the bodies of the pages are written in. The default is [`Format::Json`]; see
    /// [`Pages::format`](crate::Pages::format). The records of a table (JSON Lines, CSV) are at `""`, and that need not be said.
    pub fn format(mut self, format: impl Into<Format>) -> Self {
        self.settings.format = format.into();
        self
    }

    /// Says how the API pages.
    pub fn paginate(mut self, paginator: impl Paginate) -> Self {
        self.paginator = Some(Arc::new(paginator));
        self
    }

    /// Allows pages whose records are the same as those of the page before; see [`Pages::allow_identical_pages`].
    ///
    /// [`Pages::allow_identical_pages`]: crate::Pages::allow_identical_pages
    pub fn allow_identical_pages(mut self) -> Self {
        self.settings.allow_identical_pages = true;
        self
    }

    /// Sets how many pages without records may follow one another (10,000 by default); see
    /// [`Pages::allow_empty_pages`].
    ///
    /// [`Pages::allow_empty_pages`]: crate::Pages::allow_empty_pages
    pub fn allow_empty_pages(mut self, most: u64) -> Self {
        self.settings.allow_empty_pages = Some(most);
        self
    }

    /// Allows positions that were there before, and identical pages; see [`Pages::allow_repeats`].
    ///
    /// [`Pages::allow_repeats`]: crate::Pages::allow_repeats
    pub fn allow_repeats(mut self) -> Self {
        self.settings.allow_repeats = true;
        self
    }

    /// Declares that the server keeps the place of the list and moves it on with each request: a scroll. With
    /// [`restart_on_expiry`](Self::restart_on_expiry), a lost answer, or a run that broke off, makes the source begin anew;
    /// otherwise it is an error. See [`Pages::scrolls`].
    ///
    /// ```
    /// # use headwater::{Source, paginate::{Cursor, End}};
    /// let companies = Source::get("companies", "https://api.intercom.io/companies/scroll")
    ///     .records("data")
    ///     .paginate(Cursor::body("scroll_param").into_query("scroll_param").until(End::empty_page()))
    ///     .scrolls()
    ///     .restart_on_expiry()
    ///     .build()?;
    /// # Ok::<(), headwater::Error>(())
    /// ```
    ///
    /// [`Pages::scrolls`]: crate::Pages::scrolls
    pub fn scrolls(mut self) -> Self {
        self.settings.scrolls = true;
        self
    }

    /// Declares that an answer without a body is the end.
    pub fn no_content_ends(mut self) -> Self {
        self.settings.no_content_ends = true;
        self
    }
}
