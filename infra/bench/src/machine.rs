//! The machine, as far as the figures depend on it, and what processes took of it.
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use crate::figure::median;

/// One line that names the machine.
pub(crate) fn describe(dir: &Path, postgres: &str) -> String {
    let field = |file: &str, name: &str| {
        let text = fs::read_to_string(file).unwrap_or_default();
        let line = text.lines().find(|line| line.starts_with(name)).map(str::to_owned);
        line.and_then(|line| line.split_once(':').map(|(_, value)| value.trim().to_owned())).unwrap_or_default()
    };
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let memory = field("/proc/meminfo", "MemTotal").trim_end_matches(" kB").parse::<u64>().unwrap_or(0) / 1_048_576;
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let write = durable_write(dir).map_or("unknown".to_owned(), |took| format!("{:.2} ms", took.as_secs_f64() * 1e3));
    format!(
        "{}, {cores} cores, {memory} GiB, Linux {}; {postgres}; a durable write of 8 KiB takes {write}",
        field("/proc/cpuinfo", "model name"),
        kernel.trim(),
    )
}

/// How long the disk takes until 8 KiB are surely on it: each commit waits for that.
fn durable_write(dir: &Path) -> Result<Duration> {
    let path = dir.join("durable-write");
    let mut file = fs::File::create(&path)?;
    let mut took = Vec::new();
    for _ in 0..200 {
        let start = Instant::now();
        file.write_all(&[7; 8192])?;
        file.sync_data()?;
        took.push(start.elapsed().as_secs_f64());
    }
    drop(fs::remove_file(path));
    Ok(Duration::from_secs_f64(median(&took)))
}

/// Resident memory of a process, in megabytes.
pub(crate) fn resident(pid: i32) -> Result<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).context("the process has ended")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
    let kib: f64 = line.trim().trim_end_matches(" kB").parse().context("VmRSS is no number")?;
    Ok(kib * 1024.0 / 1e6)
}

/// Processor time of these processes and of those of their children that have ended, in seconds.
pub(crate) fn processor_time(pids: &[i32]) -> f64 {
    let ticks = |pid: &i32| -> Option<f64> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // After the name in brackets; user and system time, its own and that of the children it has waited for.
        let fields: Vec<&str> = stat[stat.rfind(')')? + 1..].split_whitespace().collect();
        Some(fields.get(11..15)?.iter().filter_map(|field| field.parse::<f64>().ok()).sum())
    };
    // Linux shows these in hundredths of a second, whatever its own clock has.
    pids.iter().filter_map(ticks).sum::<f64>() / 100.0
}
