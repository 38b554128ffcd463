//! The records: rendered once, as one run of bytes, so that any page is a slice of it.

use std::io::Write;

use bytes::Bytes;

use super::Resource;

const NAMES: [&str; 8] = [
    "Zoë Müller",
    "Łukasz Żak",
    "Ana María Peña",
    "Jun Watanabe 渡辺",
    "Siân O'Neill",
    "Nguyễn Văn An",
    "Омар Саид",
    "Grace Hopper",
];
const CITIES: [(&str, &str); 6] =
    [("Łódź", "PL"), ("São Paulo", "BR"), ("Zürich", "CH"), ("東京", "JP"), ("Köln", "DE"), ("Galway", "IE")];
const CURRENCIES: [&str; 4] = ["eur", "usd", "jpy", "chf"];
const TAGS: [&str; 5] = ["new", "wholesale", "überfällig", "vip", "archived"];
const WORDS: &str = "the river rises in the hills and runs past the mill to the sea, \
                     where barges wait for grain and the tide carries them out before dawn; ";
/// What closes a record: the end of its note and of itself.
const CLOSE: &[u8] = b"\"}";

/// All records of a resource, with a comma behind each.
#[derive(Debug)]
pub(super) struct Table {
    bytes: Bytes,
    /// Where each record starts, and the end.
    starts: Vec<usize>,
}

impl Table {
    pub(super) fn render(resource: &Resource) -> Self {
        let total = resource.len();
        let mut bytes = Vec::with_capacity(total as usize * (resource.bytes_per_record() + 1));
        let mut starts = Vec::with_capacity(total as usize + 1);
        let seed = resource.name().bytes().fold(17_u64, |seed, byte| mix(seed ^ u64::from(byte)));
        for number in 1..=total {
            starts.push(bytes.len());
            record(&mut bytes, &resource.id(number), number, mix(seed ^ number), resource.bytes_per_record());
            bytes.push(b',');
        }
        starts.push(bytes.len());
        Self { bytes: bytes.into(), starts }
    }

    pub(super) fn len(&self) -> u64 {
        self.starts.len() as u64 - 1
    }

    /// The records `from..to`, counted from 0, with commas between them; both ends are cut to what there is.
    pub(super) fn slice(&self, from: u64, to: u64) -> Bytes {
        let to = to.min(self.len());
        if from >= to {
            return Bytes::new();
        }
        self.bytes.slice(self.starts[from as usize]..self.starts[to as usize] - 1)
    }
}

fn record(out: &mut Vec<u8>, id: &str, number: u64, random: u64, size: usize) {
    let start = out.len();
    let pick = |shift: u32, among: usize| (random >> shift) as usize % among;
    let (city, country) = CITIES[pick(8, CITIES.len())];
    // Two years of seconds; an odd but fixed stride scatters the dates.
    let at = chrono::DateTime::from_timestamp(1_704_067_200 + (random >> 20) as i64 % 63_072_000, 0);
    let created = at.unwrap_or_default().format("%Y-%m-%dT%H:%M:%SZ");
    // Writing into a `Vec` cannot fail.
    let _ = write!(
        out,
        r#"{{"id":"{id}","number":{number},"name":"{}","amount":{}.{:02},"currency":"{}","created_at":"{created}","address":{{"city":"{city}","country":"{country}"}},"tags":["{}"],"active":{},"parent":null,"note":"\"{number}\" – "#,
        NAMES[pick(0, NAMES.len())],
        pick(16, 5000),
        pick(32, 10) * 10,
        CURRENCIES[pick(40, CURRENCIES.len())],
        TAGS[pick(44, TAGS.len())],
        !random.is_multiple_of(3),
    );
    while out.len() - start + CLOSE.len() < size {
        let room = size - CLOSE.len() - (out.len() - start);
        out.extend_from_slice(&WORDS.as_bytes()[..room.min(WORDS.len())]);
    }
    out.extend_from_slice(CLOSE);
}

/// One step of SplitMix64 (Steele, Lea, Flood 2014): the same on every machine and in every version.
fn mix(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_valid_and_of_the_size_that_was_asked_for() {
        let table = Table::render(&Resource::new("customers", 50).record_bytes(400));
        for at in 0..50 {
            let record = table.slice(at, at + 1);
            assert_eq!(record.len(), 400);
            let value: serde_json::Value = serde_json::from_slice(&record).unwrap();
            assert_eq!(value["number"], at + 1);
            assert_eq!(value["id"], format!("cus_{:08}", at + 1));
        }
    }

    #[test]
    fn any_range_is_a_list() {
        let table = Table::render(&Resource::new("customers", 10));
        for (from, to, count) in [(0, 10, 10), (3, 5, 2), (9, 99, 1), (10, 20, 0), (5, 5, 0)] {
            let list = [b"[".as_slice(), &table.slice(from, to), b"]"].concat();
            let list: Vec<serde_json::Value> = serde_json::from_slice(&list).unwrap();
            assert_eq!(list.len(), count, "{from}..{to}");
        }
    }

    #[test]
    fn the_data_never_change() {
        let table = Table::render(&Resource::new("customers", 3));
        let hash = xxhash_rust::xxh3::xxh3_64(&table.slice(0, 3));
        assert_eq!(hash, 10_471_155_528_383_866_688, "{}", String::from_utf8_lossy(&table.slice(0, 3)));
    }
}
