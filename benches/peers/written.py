"""What the tools have written, read back: every record of every page has to be there, once."""

import collections
import gzip
import json
import mmap
import re
import urllib.request


class Lines:
    """One JSON object a line, as it came, with fields added."""

    def __init__(self, *added, prefix=None):
        self.added, self.prefix = added, prefix

    def records(self, out):
        for file in out.glob("**/*.jsonl"):
            for line in file.open("rb"):
                record = json.loads(line)
                for key in [key for key in record if key in self.added or self.prefix and key.startswith(self.prefix)]:
                    del record[key]
                yield record["id"], record

    def seems_complete(self, out, pages, records):
        return sum(newlines(file) for file in out.glob("**/*.jsonl")) == records


class Pages:
    """The pages one behind the other, as they came."""

    def pages(self, out):
        with (out / "pages").open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as text:
            start = 0
            for end in re.finditer(rb'"has_more":(true|false)}', text):
                yield text[start : end.end()]
                start = end.end()
            if start != len(text):
                yield text[start:]

    def records(self, out):
        for page in self.pages(out):
            yield from ((record["id"], record) for record in json.loads(page)["data"])

    def seems_complete(self, out, pages, records):
        return sum(1 for _ in self.pages(out)) == pages


class Airbyte:
    """Messages, some of which are records. Fields that are null are left out."""

    nulls = False

    def records(self, out):
        for line in (out / "messages.jsonl").open("rb"):
            message = json.loads(line)
            if message["type"] == "RECORD":
                record = message["record"]["data"]
                yield record["id"], record


class Dlt:
    """A record becomes rows of several tables, so only the ids of the first are compared."""

    def records(self, out):
        for file in out.glob("data/*/bench/*.jsonl*"):
            for line in (gzip.open if file.suffix == ".gz" else open)(file, "rb"):
                yield json.loads(line)["id"], None


def newlines(file):
    with file.open("rb") as file:
        return sum(piece.count(b"\n") for piece in iter(lambda: file.read(1 << 20), b""))


def check(writing, out, url, pages, thoroughly):
    """Says what is wrong, or nothing. Not thoroughly: only counts, where there is much."""
    page = json.load(urllib.request.urlopen(f"{url}?page=1"))["data"]
    if not thoroughly and hasattr(writing, "seems_complete"):
        return None if writing.seems_complete(out, pages, pages * len(page)) else "not as many records as there are"
    if not getattr(writing, "nulls", True):
        page = [{key: value for key, value in record.items() if value is not None} for record in page]
    # All pages are alike but for the id of their first record: the server renders them once.
    first, others = page[0], {record["id"]: record for record in page[1:]}
    base = first["id"] - 1
    ids = collections.Counter()
    for key, record in writing.records(out):
        ids[key] += 1
        if record is not None and record != others.get(key) and record != {**first, "id": key}:
            return f"record {key} is not what the server sent"
    wanted = {base + number: 1 for number in range(1, pages + 1)} | {key: pages for key in others}
    if ids == wanted:
        return None
    wrong = [key for key in wanted | ids if ids[key] != wanted.get(key, 0)]
    return f"{ids.total()} records of {len(page) * pages}; among the wrong ids are {wrong[:5]}"
