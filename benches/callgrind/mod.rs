//! This program, started once more under callgrind, and what it counted.

use std::ops::Sub;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::Outcome;

/// glibc copies large pieces by `rep movsb` if the processor does that fast. Callgrind counts an instruction for each
/// byte of it, which is not what it costs.
const TUNABLES: (&str, &str) = ("GLIBC_TUNABLES", "glibc.cpu.hwcaps=-ERMS,-FSRM");
const ALLOCATORS: [&str; 5] = ["malloc", "calloc", "realloc", "posix_memalign", "aligned_alloc"];

/// What a process, or a piece of its work, took.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Count {
    pub(crate) instructions: f64,
    pub(crate) allocations: f64,
}

impl Sub for Count {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self {
            instructions: self.instructions - other.instructions,
            allocations: self.allocations - other.allocations,
        }
    }
}

impl std::ops::Div<f64> for Count {
    type Output = Self;

    fn div(self, by: f64) -> Self {
        Self { instructions: self.instructions / by, allocations: self.allocations / by }
    }
}

/// A process that is being counted.
pub(crate) struct Counting {
    child: Child,
    profile: PathBuf,
}

/// Whether there is a valgrind.
pub(crate) fn is_installed() -> bool {
    let asked = Command::new("valgrind").arg("--version").stdout(Stdio::null()).status();
    asked.is_ok_and(|status| status.success())
}

/// Starts this program with these words in a variable of its environment, and nothing else there.
pub(crate) fn start(variable: &str, words: &[&str]) -> Outcome<Counting> {
    let profile = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("callgrind.{}.out", words.join(".")));
    let child = Command::new("valgrind")
        .arg("--tool=callgrind")
        .arg("--compress-strings=no")
        .arg(format!("--callgrind-out-file={}", profile.display()))
        .arg(std::env::current_exe()?)
        .env_clear()
        .envs(std::env::var_os("PATH").map(|path| ("PATH", path)))
        .env(variable, words.join(" "))
        .env(TUNABLES.0, TUNABLES.1)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()?;
    Ok(Counting { child, profile })
}

impl Counting {
    pub(crate) fn count(self) -> Outcome<Count> {
        let output = self.child.wait_with_output()?;
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).into());
        }
        let profile = std::fs::read(&self.profile)?;
        let profile = String::from_utf8_lossy(&profile);
        let total = profile.lines().find_map(|line| line.strip_prefix("totals:")).ok_or("no totals")?;
        Ok(Count { instructions: total.trim().parse()?, allocations: allocations(&profile)? })
    }
}

/// How often an allocator was called (Callgrind Format Specification: `calls=` follows the name of who is called).
fn allocations(profile: &str) -> Outcome<f64> {
    let mut called = "";
    let mut sum = 0.0;
    for line in profile.lines() {
        if let Some(name) = line.strip_prefix("cfn=") {
            called = name;
        } else if let Some(calls) = line.strip_prefix("calls=").filter(|_| ALLOCATORS.contains(&called)) {
            sum += calls.split(' ').next().ok_or("no number of calls")?.parse::<f64>()?;
        }
    }
    Ok(sum)
}

/// What the processor has for working on many bytes at once, as far as `memchr` and the C library choose by it: what else
/// there is callgrind does not show them.
pub(crate) fn vectors() -> &'static str {
    #[cfg(target_arch = "x86_64")]
    return if std::arch::is_x86_feature_detected!("avx2") { "AVX2" } else { "no AVX2" };
    #[cfg(not(target_arch = "x86_64"))]
    "its usual vectors"
}
