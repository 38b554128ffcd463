#!/usr/bin/env python3
"""The comparison with other tools: the same lists from the same server on this machine, one tool after the other.

    python3 benches/peers/run.py             # everything; writes docs/peers.svg, docs/peers.md and docs/peers.json
    python3 benches/peers/run.py --test      # a few pages, only what needs no package of PyPI; writes nothing
    python3 benches/peers/run.py --only dlt  # the tools whose name has this in it; writes nothing

It makes a virtual environment with the versions of requirements.txt under target/peers, builds the bench `peers` (the
server, and the contestants in Rust), and runs the tools in turns, each as a process of its own. What each has written
is read back: every record of every page has to be there, once. `faucet` takes part where it is on the PATH, or under
target/peers/faucet:

    cargo install --locked --root target/peers/faucet --no-default-features --features source-rest,sink-file faucet-cli@1.17.0

It says that it wants Rust 1.99; with --ignore-rust-version 1.95 builds it, too.

Linux only, for the peak memory comes from /proc. Python 3.11 or later.
"""

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import chart
from measure import measure
from written import Airbyte, Dlt, Lines, Pages, check

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
WORK = ROOT / "target" / "peers"
VENV = WORK / "venv"
ROUNDS = 3
LISTS = {"issues": "100 records of 1.2 KB a page", "events": "1,000 records of 110 bytes a page"}


DLT = {"RUNTIME__DLTHUB_TELEMETRY": "false"}
# Files that two processes can work on, buffers of the same size, nothing compressed.
DLT_TUNED = {
    "DATA_WRITER__BUFFER_MAX_ITEMS": "10000",
    "DATA_WRITER__FILE_MAX_ITEMS": "10000",
    "DATA_WRITER__DISABLE_COMPRESSION": "true",
    "NORMALIZE__WORKERS": "2",
}


class Contestant:
    """A tool: how it is started, how many pages it is given, what it writes, and what the table says of it."""

    def __init__(self, name, command, pages, writing, version, settings, environment=None, output="output.log"):
        self.name, self.command, self.pages, self.writing = name, command, pages, writing
        self.version, self.settings = version, settings
        self.environment, self.output = environment or {}, output


def venv_python(script, *arguments):
    return lambda url, out: [VENV / "bin" / "python", HERE / script, url, out, *arguments]


def contestants(peers, test):
    """All that can run here, and the names of those that are left out."""

    def rust(name):
        return lambda url, out: [peers, name, url, out]

    fast, medium = {"issues": 3000, "events": 3000}, {"issues": 1000, "events": 600}
    crates = locked("reqwest", "serde_json")
    found = [
        Contestant("bare download", rust("download"), fast, Pages(), f"reqwest {crates['reqwest']}",
                   "every body as it is into one file; nothing parsed, nothing synced"),
        Contestant("bare download, synced", rust("download_synced"), fast, Pages(), f"reqwest {crates['reqwest']}",
                   "the floor: the same, and one fdatasync at the end, as durable as the others"),
        Contestant("headwater", rust("headwater"), fast, Lines("__source", "__ingested_at"), "this copy",
                   "Source, Pipeline and Jsonl: limiter, 5 attempts, guard against circles, pages validated, "
                   "two fields added, a checkpoint every second, each synced"),
        Contestant("Rust by hand", rust("by_hand"), fast, Lines("__source", "__ingested_at"),
                   f"reqwest {crates['reqwest']}, serde_json {crates['serde_json']}",
                   "try_unfold, serde_json::Value, two fields added, BufWriter; no limiter, no retry, no checkpoint, "
                   "no sync"),
    ]
    left_out = []
    faucet = shutil.which("faucet", path=f"{WORK / 'faucet' / 'bin'}:{os.environ.get('PATH', '')}")
    if faucet is None:
        left_out.append("faucet-stream: there is no `faucet` on the PATH (benches/peers/run.py says how to get it)")
    elif not test:
        version = subprocess.run([faucet, "--version"], capture_output=True, text=True, check=True).stdout.split()[-1]
        found.append(Contestant(
            "faucet-stream", lambda url, out: [faucet, "run", faucet_config(url, out)], medium,
            Lines(prefix="_faucet"), f"faucet-cli {version}",
            "`faucet run`: rest source with PageNumber, file sink into .jsonl, metadata_columns; no state store, one fsync "
            "and a rename at the end"))
    if test:
        return found, left_out + ["all that needs packages of PyPI: this is --test"]
    versions = installed("aiohttp", "orjson", "dlt", "airbyte-cdk")
    python = platform.python_version()
    aiohttp = "token bucket, 5 attempts, queue of 4 pages, two fields added, fsync and checkpoint every second"
    found += [
        Contestant("asyncio + aiohttp, orjson", venv_python("asyncio_pull.py", "orjson"), medium,
                   Lines("__source", "__ingested_at"),
                   f"Python {python}, aiohttp {versions['aiohttp']}, orjson {versions['orjson']}",
                   f"the same with orjson: {aiohttp}"),
        Contestant("asyncio + aiohttp", venv_python("asyncio_pull.py"), medium,
                   Lines("__source", "__ingested_at"), f"Python {python}, aiohttp {versions['aiohttp']}",
                   f"json of the standard library, {aiohttp}"),
        Contestant("airbyte-cdk", airbyte, {"issues": 400, "events": 100}, Airbyte(),
                   f"airbyte-cdk {versions['airbyte-cdk']}",
                   "`source-declarative-manifest read` of manifest.yaml: PageIncrement, full refresh; messages on "
                   "standard output into a file, without fields that are null", output="messages.jsonl"),
        Contestant("dlt", venv_python("dlt_pull.py"), {"issues": 200, "events": 60}, Dlt(), f"dlt {versions['dlt']}",
                   "rest_api source with page_number, filesystem destination in JSON lines, all settings as they come",
                   environment=DLT),
        Contestant("dlt, tuned", venv_python("dlt_pull.py", "tuned"), {"issues": 400, "events": 100}, Dlt(),
                   f"dlt {versions['dlt']}",
                   "the same, with max_table_nesting=0, the data_selector compiled once, "
                   + " ".join(f"{name}={value}" for name, value in DLT_TUNED.items()), environment=DLT | DLT_TUNED),
    ]
    return found, left_out


def airbyte(url, out):
    base, path = url.rsplit("/", 3)[0], "/".join(url.rsplit("/", 3)[1:])
    shape = path.split("/")[0]
    write = lambda name, value: (out / name).write_text(json.dumps(value))
    write("config.json", {"base": base, "path": path, "page_size": 1000 if shape == "events" else 100})
    stream = {"name": "bench", "json_schema": {"type": "object"}, "supported_sync_modes": ["full_refresh"]}
    configured = {"stream": stream, "sync_mode": "full_refresh", "destination_sync_mode": "append"}
    write("catalog.json", {"streams": [configured]})
    return [VENV / "bin" / "source-declarative-manifest", "read", "--config", out / "config.json", "--catalog",
            out / "catalog.json", "--manifest-path", HERE / "manifest.yaml"]


def faucet_config(url, out):
    base, path = url.rsplit("/", 3)[0], "/" + "/".join(url.rsplit("/", 3)[1:])
    text = (HERE / "faucet.yaml").read_text()
    (out / "faucet.yaml").write_text(text.replace("BASE", base).replace("PATH", path).replace("OUT", str(out)))
    return out / "faucet.yaml"


def pull(contestant, url, pages, thoroughly):
    WORK.mkdir(parents=True, exist_ok=True)
    out = Path(tempfile.mkdtemp(dir=WORK, prefix="out-"))
    command = [str(part) for part in contestant.command(url, out)]
    environment = {**os.environ, **contestant.environment, "HOME": str(out)}
    errors = out / "errors.log"
    code, taken = measure(command, out, environment, out / contestant.output, errors)
    if code != 0:
        sys.exit(f"{contestant.name} ended with {code}; see {out}\n{errors.read_text()[-2000:]}")
    wrong = check(contestant.writing, out, url, pages, thoroughly)
    if wrong is not None:
        sys.exit(f"{contestant.name}: {wrong}; see {out}")
    shutil.rmtree(out)
    return taken


def race(found, server, rounds, few):
    """All runs, in turns: for each tool and list those of one page, which are the start, and those of its pages."""
    runs = {contestant.name: {name: {"start": [], "full": []} for name in LISTS} for contestant in found}
    for round in range(rounds):
        for name in LISTS:
            for turn in range(len(found)):
                contestant = found[(round + turn) % len(found)]
                for kind, pages in [("start", 1), ("full", 5 if few else contestant.pages[name])]:
                    taken = pull(contestant, f"http://{server}/{name}/{pages}/0", pages, round == 0)
                    runs[contestant.name][name][kind].append(taken)
                    print(f"  round {round + 1}: {contestant.name}, {pages} pages of {name}: {taken['wall']:.2f} s",
                          file=sys.stderr, flush=True)
    return runs


def result(contestant, name, runs):
    """Medians; what a run of one page takes is the start, and is taken off."""
    median = {kind: {what: statistics.median(run[what] for run in taken) for what in taken[0]}
              for kind, taken in runs.items()}
    page = 1000 if name == "events" else 100
    records = (contestant.pages[name] - 1) * page
    wall = max(median["full"]["wall"] - median["start"]["wall"], 1e-3)
    cpu = max(median["full"]["cpu"] - median["start"]["cpu"], 1e-3)
    return {"pages": contestant.pages[name], "records": contestant.pages[name] * page, "records_per_second": records / wall,
            "cpu_seconds_per_million": cpu / records * 1e6, "peak_bytes": median["full"]["peak"],
            "start_seconds": median["start"]["wall"], "wall_seconds": median["full"]["wall"],
            "cpu_seconds": median["full"]["cpu"]}


# Getting ready.


def locked(*names):
    """Versions from Cargo.lock."""
    import tomllib

    packages = tomllib.loads((ROOT / "Cargo.lock").read_text())["package"]
    return {package["name"]: package["version"] for package in packages if package["name"] in names}


def installed(*names):
    listed = subprocess.run([VENV / "bin" / "python", "-m", "pip", "list", "--format=json"], capture_output=True, check=True)
    versions = {package["name"].lower(): package["version"] for package in json.loads(listed.stdout)}
    return {name: versions[name] for name in names}


def make_venv():
    wanted = (HERE / "requirements.txt").read_text()
    stamp = VENV / "installed.txt"
    if stamp.exists() and stamp.read_text() == wanted:
        return
    print("installing requirements.txt into target/peers/venv …", file=sys.stderr, flush=True)
    subprocess.run([sys.executable, "-m", "venv", VENV], check=True)
    subprocess.run([VENV / "bin" / "pip", "install", "--quiet", "--disable-pip-version-check", "-r",
                    HERE / "requirements.txt"], check=True)
    stamp.write_text(wanted)


def build():
    """The path of the bench `peers`."""
    command = ["cargo", "bench", "--locked", "--bench", "peers", "--no-run", "--message-format=json-render-diagnostics"]
    built = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=True, text=True).stdout
    messages = map(json.loads, built.splitlines())
    return [message["executable"] for message in messages
            if message["reason"] == "compiler-artifact" and message["target"]["name"] == "peers"][-1]


def machine():
    cpu = next((line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), "?")
    return f"{os.cpu_count()} × {cpu}, Linux {platform.release()}"


def table(found, left_out, results, rounds):
    lines = [
        "<!-- Written by benches/peers/run.py. -->", "# headwater beside other tools", "",
        "```sh", "python3 benches/peers/run.py", "```", "",
        f"The same server for all, pre-rendered, in a process of its own, on the same {machine()}; medians of {rounds} "
        "rounds, in turns. Wall and CPU (user + system, with child processes) are of the tool alone. What a run of one page "
        "takes (\"start\") is taken off both before the rates are made, for a long pull would not notice it. Slow tools get "
        "fewer pages. Peak is the most memory that the tool's processes held. What each wrote is read back: every record of "
        "every page is there, once.", "",
        "The server answers at once and sits on the same cores: the figures say how much of a machine a tool takes, not how "
        "fast an API is. The tools do not do the same. The bare download looks at nothing. dlt infers a schema, makes rows of "
        "nested lists and keeps what it extracts in files until it is loaded, with a table of loads in the end. airbyte-cdk "
        "hands messages to a destination, which here is a file that nobody syncs. As they run here, only headwater and "
        "the two in asyncio keep a checkpoint in the middle of a list.", ""]
    for name, about in LISTS.items():
        lines += [f"## {name}: {about}", "",
                  "| tool | records pulled | records/s | CPU s per million | peak MB | wall s | CPU s | start s |",
                  "|---|---:|---:|---:|---:|---:|---:|---:|"]
        for contestant in sorted(found, key=lambda one: -results[one.name][name]["records_per_second"]):
            one = results[contestant.name][name]
            lines.append(f"| {contestant.name} | {one['records']:,} | {one['records_per_second']:,.0f} | "
                         f"{one['cpu_seconds_per_million']:,.2f} | {one['peak_bytes'] / 1e6:,.0f} | {one['wall_seconds']:.2f} | "
                         f"{one['cpu_seconds']:.2f} | {one['start_seconds']:.2f} |")
        lines.append("")
    lines += ["## Versions and settings", "", "| tool | version | as it was run |", "|---|---|---|"]
    lines += [f"| {one.name} | {one.version} | {one.settings} |" for one in found]
    lines += ["", *[f"Left out: {one}." for one in left_out]]
    return "\n".join(lines).rstrip() + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--test", action="store_true", help="a few pages, only what needs no package of PyPI")
    parser.add_argument("--only", help="the tools whose name has this in it")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    asked = parser.parse_args()
    peers = build()
    if not asked.test:
        make_venv()
    found, left_out = contestants(peers, asked.test)
    found = [one for one in found if asked.only is None or asked.only in one.name]
    for one in left_out:
        print(f"LEFT OUT: {one}", file=sys.stderr, flush=True)
    rounds = 1 if asked.test else asked.rounds
    serving = subprocess.Popen([peers], env={**os.environ, "HEADWATER_BENCH_SERVE": "1"}, stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE, text=True)
    try:
        server = serving.stdout.readline().strip()
        runs = race(found, server, rounds, asked.test)
    finally:
        serving.stdin.close()
        serving.wait()
    if asked.test:
        print(f"{len(found)} contestants, every record there once")
        return
    results = {one.name: {name: result(one, name, runs[one.name][name]) for name in LISTS} for one in found}
    text = table(found, left_out, results, rounds)
    print(text)
    if asked.only is None:
        docs = ROOT / "docs"
        (docs / "peers.md").write_text(text)
        raw = {"machine": machine(), "rounds": rounds, "left_out": left_out,
               "tools": [{"name": one.name, "version": one.version, "settings": one.settings,
                          "results": results[one.name], "runs": runs[one.name]} for one in found]}
        (docs / "peers.json").write_text(json.dumps(raw, indent=1) + "\n")
        (docs / "peers.svg").write_text(chart.draw([one.name for one in found], results, LISTS))


main()
