"""The contestant in asyncio and aiohttp: what a careful team writes for itself.

python asyncio_pull.py URL DIRECTORY [orjson]

Pages by number until the flag says that there are no more; retries with back-off and jitter, and waits as told; a token
bucket in front of every request; one task pulls and one writes, with a bounded queue between them; JSON lines with
`__source` and `__ingested_at`; once a second the file is synced and a checkpoint replaced, from which it would go on.
"""

import asyncio
import json
import os
import random
import sys
import time
from datetime import datetime, timezone

import aiohttp

ATTEMPTS = 5
QUEUE = 4


class TokenBucket:
    def __init__(self, rate, burst):
        self.rate, self.burst, self.tokens, self.at = rate, burst, burst, time.monotonic()

    async def take(self):
        while True:
            now = time.monotonic()
            self.tokens = min(self.burst, self.tokens + (now - self.at) * self.rate)
            self.at = now
            if self.tokens >= 1:
                self.tokens -= 1
                return
            await asyncio.sleep((1 - self.tokens) / self.rate)


async def get(session, bucket, url, page, loads):
    for attempt in range(1, ATTEMPTS + 1):
        await bucket.take()
        wait = random.uniform(0, min(30, 0.5 * 2**attempt))
        try:
            async with session.get(url, params={"page": page}) as answer:
                if answer.status == 429 or answer.status >= 500:
                    wait = float(answer.headers.get("Retry-After", wait))
                answer.raise_for_status()
                return loads(await answer.read())
        except (aiohttp.ClientError, asyncio.TimeoutError, ValueError) as error:
            status = getattr(error, "status", 500)
            if attempt == ATTEMPTS or 400 <= status < 500 and status != 429:
                raise
            await asyncio.sleep(wait)


async def pull(url, queue, page, loads):
    bucket = TokenBucket(rate=100_000, burst=1000)
    timeout = aiohttp.ClientTimeout(total=30)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        while True:
            body = await get(session, bucket, url, page, loads)
            page += 1
            await queue.put((page, body["data"]))
            if not body["has_more"]:
                await queue.put(None)
                return


def commit(file, checkpoint, page):
    file.flush()
    os.fsync(file.fileno())
    with open(checkpoint + ".tmp", "w") as new:
        json.dump({"page": page, "bytes": file.tell()}, new)
        new.flush()
        os.fsync(new.fileno())
    os.replace(checkpoint + ".tmp", checkpoint)


async def write(queue, file, checkpoint, dumps):
    committed, page = time.monotonic(), None
    while (item := await queue.get()) is not None:
        page, records = item
        now = datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
        for record in records:
            record["__source"] = "bench"
            record["__ingested_at"] = now
            file.write(dumps(record))
            file.write(b"\n")
        if time.monotonic() - committed >= 1:
            await asyncio.to_thread(commit, file, checkpoint, page)
            committed = time.monotonic()
    await asyncio.to_thread(commit, file, checkpoint, page)


def codec(name):
    if name == "orjson":
        import orjson

        return orjson.loads, orjson.dumps
    compact = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False)
    return json.loads, lambda record: compact.encode(record).encode()


async def main(url, directory, name="json"):
    loads, dumps = codec(name)
    checkpoint = os.path.join(directory, "checkpoint.json")
    page, length = 1, 0
    if os.path.exists(checkpoint):
        with open(checkpoint) as last:
            last = json.load(last)
        page, length = last["page"], last["bytes"]
    with open(os.path.join(directory, "records.jsonl"), "ab", buffering=1 << 20) as file:
        file.truncate(length)
        queue = asyncio.Queue(QUEUE)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(pull(url, queue, page, loads))
            tasks.create_task(write(queue, file, checkpoint, dumps))


asyncio.run(main(*sys.argv[1:]))
