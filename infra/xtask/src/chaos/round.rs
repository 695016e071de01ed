//! One round: a process of the stories' program that tells one story, and ends, one way or another.

use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::{Value, json};

use super::{anew, plan::Round, record::FIGURES};
use crate::{
    accounts, checkout,
    children::{Child, log_file},
    interrupt,
    pids::Ledger,
    testbed::Servers,
};

/// A round that takes longer has failed. A good one takes ten to thirty seconds; one that waits for what will not come
/// gives up after a minute, and says what is missing.
const LIMIT: Duration = Duration::from_secs(120);

/// How long what a round started may take to end after it.
const GRACE: Duration = Duration::from_secs(5);

/// The variable that names a round's report: all that descends from the round has it.
const REPORT: &str = "TALKBACK_CHAOS_REPORT";

/// Where rounds are played.
pub(super) struct Stage {
    pub(super) stories: PathBuf,
    pub(super) environment: Vec<(&'static str, OsString)>,
    pub(super) servers: Servers,
    /// The folder of what is kept.
    pub(super) dir: PathBuf,
    /// Whether the logs of good rounds are kept, too.
    pub(super) keeps: bool,
}

/// What a round found.
pub(super) struct Found {
    /// The figures of its report; empty if there is none.
    pub(super) figures: Value,
    /// Why it has failed.
    pub(super) fault: Option<String>,
    pub(super) took: Duration,
    /// What it printed.
    pub(super) output: PathBuf,
}

impl Stage {
    /// Plays a round; `None` if we were told to stop meanwhile. What a failed one left in its folder is kept.
    pub(super) fn play(&self, round: &Round) -> Result<Option<Found>> {
        let dir = self.dir.join(format!("{}-{}", round.attack.name, round.seed));
        anew(&dir)?;
        let (report, output) = (dir.join("report.json"), dir.join("output"));
        let mut command = accounts::command(&self.stories, None, &checkout::root().join("tests"), "KILL")?;
        command
            .args(["--exact", round.attack.test, "--nocapture"])
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .env("TALKBACK_CHAOS_SEED", round.seed.to_string())
            .env(REPORT, &report)
            .env("RUST_BACKTRACE", "0")
            .stdout(log_file(&output)?)
            .stderr(log_file(&output)?);
        let began = Instant::now();
        let mut child = Child::start(round.attack.name, command, Signal::SIGTERM, &Ledger::open(dir.join("pids"))?)?;
        let status = loop {
            if let Some(status) = child.ended() {
                break Some(status);
            }
            if interrupt::asked() || began.elapsed() > LIMIT {
                child.kill();
                break None;
            }
            thread::sleep(Duration::from_millis(20));
        };
        let took = began.elapsed();
        let left = end_all(&report)?;
        self.servers.forget(child.pid())?;
        if status.is_none() && interrupt::asked() {
            drop(fs::remove_dir_all(&dir));
            return Ok(None);
        }
        let figures: Option<Value> = fs::read_to_string(&report).ok().and_then(|text| serde_json::from_str(&text).ok());
        let fault = match (status, &figures) {
            (None, _) => Some(format!("not over after {} s", LIMIT.as_secs())),
            (Some(status), _) if !status.success() => Some(said(&output)),
            (_, None) => Some(format!("it made no report: is there a test {}?", round.attack.test)),
            _ if !left.is_empty() => Some(format!("it left running: {}", left.join(", "))),
            _ => None,
        };
        if fault.is_none() && !self.keeps {
            fs::remove_dir_all(&dir).with_context(|| format!("cannot remove {}", dir.display()))?;
        }
        Ok(Some(Found { figures: figures.unwrap_or_else(|| json!({})), fault, took, output }))
    }
}

impl Found {
    pub(super) fn is_good(&self) -> bool {
        self.fault.is_none()
    }

    /// What is said of it.
    pub(super) fn line(&self, round: &Round) -> String {
        let mark = if self.is_good() { "ok" } else { "FAILED" };
        let figures: Vec<String> = FIGURES
            .iter()
            .filter_map(|name| Some((*name, self.figures[*name].as_u64()?)))
            .filter(|(name, count)| *count > 0 || ["messages", "hits"].contains(name))
            .map(|(name, count)| format!("{count} {name}"))
            .collect();
        let (name, seed, took) = (round.attack.name, round.seed, self.took.as_secs_f32());
        let mut line = format!("{mark:<6} {name:<20} seed {seed:<10} {took:>5.1} s  {}", figures.join(", "));
        if let Some(fault) = &self.fault {
            fault.lines().for_each(|fault| line += &format!("\n              {fault}"));
            line += &format!("\n              again: cargo xtask chaos --attack {name} --again {seed}");
            line += &format!("\n              logs:  {}", self.output.parent().unwrap_or(&self.output).display());
        }
        line
    }
}

/// What a test said when it failed: the lines from the panic on, the first of them.
fn said(output: &Path) -> String {
    let text = fs::read(output).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let told = text.lines().skip_while(|line| !line.contains(" panicked at ")).take(12);
    // Where a message is quoted whole, its beginning must do here.
    let lines: Vec<String> = told.map(|line| line.chars().take(300).collect()).collect();
    if lines.is_empty() { "it ended without a word".to_owned() } else { lines.join("\n") }
}

/// Waits until nothing runs any more that descends from a round, and kills what does not end; gives its names.
fn end_all(report: &Path) -> Result<Vec<String>> {
    let mark = format!("{REPORT}={}", report.display());
    let began = Instant::now();
    loop {
        let left = marked(&mark);
        if left.is_empty() {
            return Ok(Vec::new());
        }
        if began.elapsed() > GRACE {
            for (pid, _) in &left {
                // It may have ended since we looked.
                let _ = kill(Pid::from_raw(*pid), Signal::SIGKILL);
            }
            return Ok(left.into_iter().map(|(_, name)| name).collect());
        }
        thread::sleep(Duration::from_millis(50));
    }
}

/// The processes whose environment has this entry.
fn marked(mark: &str) -> Vec<(i32, String)> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let is_marked = |path: &Path| {
        let environment = fs::read(path.join("environ")).unwrap_or_default();
        environment.split(|byte| *byte == 0).any(|entry| entry == mark.as_bytes())
    };
    entries
        .flatten()
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path())))
        .filter(|(_, path)| is_marked(path))
        .map(|(pid, path)| (pid, fs::read_to_string(path.join("comm")).unwrap_or_default().trim().to_owned()))
        .collect()
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn what_a_round_left_running_is_found_by_its_report_and_killed() {
        let report = PathBuf::from(format!("/nowhere/{}/report.json", std::process::id()));
        let start = |report: &Path| {
            // Whoever reads our output to its end must not wait for it, should this fail.
            let child = Command::new("sleep").arg("600").env(REPORT, report).stdout(Stdio::null()).spawn().unwrap();
            // A program that has just begun has no environment to be seen yet.
            let mark = format!("{REPORT}={}", report.display());
            let begun = Instant::now();
            while marked(&mark).is_empty() {
                assert!(begun.elapsed() < GRACE, "sleep has not begun");
                thread::yield_now();
            }
            child
        };
        let (mut ours, mut foreign) = (start(&report), start(&report.with_extension("another")));
        let collector = thread::spawn(move || ours.wait().unwrap());
        assert_eq!(end_all(&report).unwrap(), ["sleep"]);
        assert!(!collector.join().unwrap().success());
        assert!(foreign.try_wait().unwrap().is_none());
        foreign.kill().unwrap();
        foreign.wait().unwrap();
    }
}
