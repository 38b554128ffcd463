//! What a process has taken, as Linux counts it; `None` elsewhere.

// Each benchmark uses a part of it.
#![allow(dead_code, reason = "each bench uses its part")]

/// User and system time of this process, with all its threads, in steps of 10 ms.
pub(crate) fn cpu_seconds() -> Option<f64> {
    // proc_pid_stat(5): the name, in brackets, may hold anything; utime and stime are the 12th and 13th
    // behind it, in ticks of 1/100 s.
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace().skip(11);
    let mut ticks = || fields.next()?.parse::<f64>().ok();
    Some((ticks()? + ticks()?) / 100.0)
}

/// Bytes of memory in use.
pub(crate) fn resident() -> Option<u64> {
    status("VmRSS:")
}

/// The most bytes of memory that were in use.
pub(crate) fn peak() -> Option<u64> {
    status("VmHWM:")
}

fn status(field: &str) -> Option<u64> {
    // proc_pid_status(5), in kB.
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(field))?;
    line.split_ascii_whitespace().next()?.parse::<u64>().ok().map(|kilobytes| kilobytes * 1024)
}
