//! Pages and rows that are counted: page numbers, offsets. Pure.

use super::asked::Param;
use super::dialect::{Flag, Proposal, Rank, Seen, WAS_LAST};
use super::tree::Leaf;

const TOTALS: [&str; 19] = [
    "total",
    "total_count",
    "totalcount",
    "totalresults",
    "total_results",
    "total_items",
    "totalitems",
    "totalelements",
    "total_elements",
    "totalrecords",
    "total_records",
    "total_rows",
    "numfound",
    "totalsize",
    "totalhits",
    "nbhits",
    "@odata.count",
    "odata.count",
    "count",
];
const PAGE_COUNTS: [&str; 8] =
    ["total_pages", "totalpages", "page_count", "pagecount", "nbpages", "last_page", "lastpage", "pages"];
const PAGES: [&str; 10] = [
    "page",
    "page[number]",
    "pagenumber",
    "page_number",
    "pagenum",
    "page_num",
    "pageno",
    "page_no",
    "pageindex",
    "page_index",
];
/// The number of the page in an answer, where it is not called like the parameter.
const HERE: [&str; 3] = ["number", "current_page", "currentpage"];
/// The first may be a date, or the first row of this page in an answer that counts pages: it only counts in a request.
const OFFSETS: [&str; 9] =
    ["from", "offset", "startat", "start", "skip", "$skip", "startindex", "start_index", "page[offset]"];
const SHIFTS: &str = "rows that are inserted or removed meanwhile shift the others";

fn number(leaves: &[Leaf<'_>], names: &[&str]) -> Option<(String, u64)> {
    names.iter().find_map(|name| {
        leaves
            .iter()
            .filter(|leaf| leaf.name == *name)
            .find_map(|leaf| Some((leaf.path.clone(), leaf.number()?)))
    })
}

fn last_segment(path: &str) -> &str {
    path.rsplit(['.', '/']).next().unwrap_or(path)
}

/// What the paginators are made of.
struct Counts<'a> {
    seen: &'a Seen<'a>,
    rows: u64,
    /// The number of this page, and where it stands.
    here: Option<(String, u64)>,
    /// The number of the first row, and where it stands.
    start: Option<(String, u64)>,
}

pub(super) fn counted(seen: &Seen<'_>, leaves: &[Leaf<'_>], flag: Option<&Flag>) -> Vec<(Rank, Proposal)> {
    let rows = seen.records.map_or(0, |(_, rows)| rows as u64);
    let here = number(leaves, &PAGES).or_else(|| number(leaves, &HERE));
    let counts = Counts { seen, rows, here, start: number(leaves, &OFFSETS[1..]) };
    let (page, offset) = (seen.asked.find_number(&PAGES), seen.asked.find_number(&OFFSETS));
    let mut found = Vec::new();
    let pages = number(leaves, &PAGE_COUNTS);
    if let Some((path, pages)) = &pages {
        let end = format!(".until_page_count({path:?})");
        found.push(counts.by_page(&end, &format!("`{path}` is {pages}"), *pages > 1));
    }
    let counts_pages = pages.is_some() || counts.start.is_none() && counts.here.is_some();
    let by_page = offset.is_none() && (page.is_some() || counts_pages);
    let total = number(leaves, &TOTALS).filter(|(_, total)| *total >= rows);
    if let Some((path, total)) = &total {
        let why = format!("`{path}` is {total}, and {rows} records came");
        if !by_page {
            let (rank, mut proposal) =
                counts.by_offset(&format!(".until_total({path:?})"), &why, *total > rows, path);
            if *total == rows && last_segment(path).eq_ignore_ascii_case("count") {
                proposal = proposal.doubt(format!("`{path}` may be the number of records on this page"));
            }
            found.push((rank, proposal));
        } else if pages.is_none() {
            found.push(counts.by_page(&format!(".until(End::total({path:?}))"), &why, *total > rows));
        }
    }
    if !found.is_empty() {
        return found;
    }
    if let Some(flag) = flag {
        if by_page {
            found.push(counts.by_page(&flag.code, &flag.evidence, flag.is_more));
        } else if offset.is_some() || counts.start.is_some() {
            found.push(counts.by_offset(&flag.code, &flag.evidence, flag.is_more, ""));
        }
        return found;
    }
    found.extend(counts.asked(page, offset));
    found
}

impl Counts<'_> {
    /// By what was asked for alone.
    fn asked(&self, page: Option<&Param>, offset: Option<&Param>) -> Option<(Rank, Proposal)> {
        let rows = self.rows;
        let size =
            self.seen.asked.size().and_then(|size| Some((size.name(), size.value.filter(|size| *size > 0)?)));
        let (full, why) = match size {
            Some((name, asked)) => {
                (rows >= asked, format!("{name}={asked} was asked for, and {rows} records came"))
            }
            None => (false, format!("{rows} records came")),
        };
        let guess = "nothing in the answer says where it ends: it ends at a page without rows";
        let (_, proposal) = match (page, offset) {
            (_, Some(_)) => self.by_offset("", &why, true, ""),
            (Some(_), None) => self.by_page("", &why, true),
            // A page that is full may have been cut off.
            (None, None) if full => {
                let name = size.map_or("", |(name, _)| name).to_ascii_lowercase();
                let guess = "only the size was asked for: the name of the parameter, `page`, is a guess";
                match name.contains("page") {
                    true => {
                        let (rank, proposal) = self.by_page("", &why, true);
                        (rank, proposal.doubt(guess))
                    }
                    false => self.by_offset("", &why, true, ""),
                }
            }
            (None, None) => return None,
        };
        let proposal = match size {
            Some(_) if !full => {
                proposal.doubt("fewer came than were asked for: this may have been the last page")
            }
            _ => proposal,
        };
        Some((Rank::Asked, proposal.doubt(guess)))
    }

    fn by_page(&self, end: &str, why: &str, is_more: bool) -> (Rank, Proposal) {
        let asked = self.seen.asked.find_number(&PAGES);
        let named = self.here.as_ref().map(|(path, _)| last_segment(path));
        let named = named.filter(|name| PAGES.contains(&name.to_ascii_lowercase().as_str()));
        let param = asked.cloned().unwrap_or_else(|| self.seen.asked.named(named.unwrap_or("page")));
        let mut code = format!("PageNumber::new(){}", param.page());
        let mut why = why.to_owned();
        let sent = asked.and_then(|param| param.value);
        let told = self.here.as_ref().filter(|(_, number)| *number == 0);
        let mut doubt = None;
        match (sent, told) {
            (Some(0), _) => why += &format!(", and {}=0 was asked for", param.name()),
            (None, Some((path, _))) => why += &format!(", and `{path}` is 0"),
            (Some(number), _) if number > 1 => {
                doubt = Some(format!("page {number} was looked at, and it begins with page 1"));
            }
            (None, None) if self.here.is_none() => {
                doubt = Some("where it counts pages from 0, add `.start(0)`".to_owned());
            }
            _ => {}
        }
        if sent == Some(0) || sent.is_none() && told.is_some() {
            code += ".start(0)";
        }
        if let Some(size) = self.seen.asked.size() {
            code +=
                &size.value.filter(|size| *size > 0).map_or_else(String::new, |rows| size.page_size(rows));
        }
        let proposal = Proposal::new(code + end, why);
        finish(doubt.into_iter().fold(proposal, Proposal::doubt), is_more)
    }

    fn by_offset(&self, end: &str, why: &str, is_more: bool, total: &str) -> (Rank, Proposal) {
        let asked = self.seen.asked.find_number(&OFFSETS);
        let (mut why, mut guessed) = (why.to_owned(), false);
        let size = self.seen.size.filter(|size| size.value.is_some_and(|size| size > 0));
        let param = match (asked, &self.start) {
            (Some(param), _) => param.clone(),
            (None, Some((path, _))) => {
                why += &format!(", and `{path}` is a number");
                self.seen.asked.named(last_segment(path))
            }
            (None, None) => {
                let is_odata =
                    total.contains("odata.count") || size.is_some_and(|size| size.name() == "$top");
                guessed = !is_odata;
                self.seen.asked.named(if is_odata { "$skip" } else { "offset" })
            }
        };
        let mut code = match size.and_then(|size| Some((size, size.value?))) {
            Some((size, rows)) => format!("Offset::new({rows}){}{}", param.offset(), size.limit()),
            None => format!("Offset::new({}){}.without_limit_param()", self.rows.max(1), param.offset()),
        };
        // Only the first row says where the counting begins.
        let first = asked.and_then(|param| param.value).or(self.start.as_ref().map(|(_, start)| *start));
        let counts_from_one = param.name().to_ascii_lowercase().replace('_', "").ends_with("startindex");
        if first == Some(1) && counts_from_one {
            code += ".start(1)";
        }
        let mut proposal = Proposal::new(code + end, why);
        if guessed {
            proposal = proposal.doubt(format!("the name of the parameter, `{}`, is a guess", param.name()));
        }
        finish(proposal, is_more)
    }
}

fn finish(proposal: Proposal, is_more: bool) -> (Rank, Proposal) {
    match is_more {
        true => (Rank::Counted, proposal.doubt(SHIFTS)),
        false => (Rank::CountedOut, proposal.doubt(WAS_LAST).doubt(SHIFTS)),
    }
}
