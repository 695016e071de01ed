//! Which processes are ours. A number alone does not say it, since the system gives numbers out again: a process
//! is known by its number and its start time (field 22 of /proc/PID/stat), within one boot of the machine.

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    sync::Mutex,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

/// What /proc says about a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stat {
    pid: i32,
    parent: i32,
    group: i32,
    started: u64,
    zombie: bool,
}

fn stat(pid: i32) -> Option<Stat> {
    parse(pid, &fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

fn parse(pid: i32, line: &str) -> Option<Stat> {
    // The second field is the program's name in brackets, and may hold spaces and brackets itself.
    let fields: Vec<&str> = line[line.rfind(')')? + 1..].split_whitespace().collect();
    Some(Stat {
        pid,
        zombie: matches!(*fields.first()?, "Z" | "X"),
        parent: fields.get(1)?.parse().ok()?,
        group: fields.get(2)?.parse().ok()?,
        started: fields.get(19)?.parse().ok()?,
    })
}

fn everyone() -> Vec<Stat> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    entries.flatten().filter_map(|entry| stat(entry.file_name().to_str()?.parse().ok()?)).collect()
}

/// When a process started, in clock ticks since boot; `None` if it has ended (also if nobody has collected it).
pub fn started(pid: i32) -> Option<u64> {
    stat(pid).filter(|stat| !stat.zombie).map(|stat| stat.started)
}

/// A process with all that descends from it or is in its process group, the process itself first.
pub fn family(pid: i32) -> Vec<i32> {
    let all = everyone();
    let mut family = vec![pid];
    let mut next = 0;
    while let Some(&member) = family.get(next) {
        for other in &all {
            if (other.parent == member || other.group == pid) && !family.contains(&other.pid) {
                family.push(other.pid);
            }
        }
        next += 1;
    }
    family
}

/// What descends from a process and has stayed in the process group that it is in, without itself.
pub fn members_of_own_group(pid: i32) -> Vec<i32> {
    let all = everyone();
    let Some(group) = all.iter().find(|p| p.pid == pid).map(|p| p.group) else { return Vec::new() };
    let mut members = vec![pid];
    let mut next = 0;
    while let Some(&member) = members.get(next) {
        members.extend(all.iter().filter(|p| p.parent == member && p.group == group).map(|p| p.pid));
        next += 1;
    }
    members.split_off(1)
}

/// Sends a signal to a process with all its [`family`].
pub fn signal_family(pid: i32, signal: Signal) {
    for member in family(pid) {
        // It may have ended since we looked.
        let _ = kill(Pid::from_raw(member), signal);
    }
}

/// A file with a line for each process that was started, so that what a killed command left running is found.
#[derive(Debug)]
pub struct Ledger {
    file: PathBuf,
    writing: Mutex<()>,
}

impl Ledger {
    /// Stops what is written in this file and still runs, and starts the file anew.
    ///
    /// # Errors
    /// If the file cannot be written, or something in it does not end.
    pub fn open(file: PathBuf) -> Result<Ledger> {
        sweep(&file)?;
        fs::write(&file, format!("boot {}\n", boot())).with_context(|| format!("cannot write {}", file.display()))?;
        Ok(Ledger { file, writing: Mutex::new(()) })
    }

    /// Writes down a process.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn add(&self, name: &str, pid: i32) -> Result<()> {
        let Some(started) = started(pid) else { return Ok(()) };
        let _one_at_a_time = self.writing.lock();
        fs::OpenOptions::new()
            .append(true)
            .open(&self.file)
            .and_then(|mut file| writeln!(file, "{pid} {started} {name}"))
            .with_context(|| format!("cannot write {}", self.file.display()))
    }
}

fn boot() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned()
}

/// How long a process that was left over may take to end before it is killed.
const PATIENCE: Duration = Duration::from_secs(6);

fn sweep(file: &Path) -> Result<()> {
    let Ok(text) = fs::read_to_string(file) else { return Ok(()) };
    if text.lines().next() != Some(&format!("boot {}", boot())) {
        return Ok(());
    }
    let all = everyone();
    let ours: Vec<(i32, u64)> = text
        .lines()
        .skip(1)
        .filter_map(|line| {
            let mut fields = line.split(' ');
            Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
        })
        .collect();
    // Those themselves; and the rest of a group whose first process has ended. A group's number is not given out
    // again while the group has members, and none of them is older than its first.
    let mut left: Vec<(i32, u64)> = all
        .iter()
        .filter(|p| !p.zombie)
        .filter(|p| {
            ours.contains(&(p.pid, p.started)) || ours.iter().any(|&(pid, at)| p.group == pid && p.started >= at)
        })
        .map(|p| (p.pid, p.started))
        .collect();
    for (step, signal) in [(0, Signal::SIGINT), (1, Signal::SIGTERM), (2, Signal::SIGKILL)] {
        // Postgres takes SIGINT as "now, but in order", and SIGTERM as "when the last client has gone"; Erlang and
        // cargo-lambda take SIGTERM.
        for &(pid, at) in &left {
            if started(pid) == Some(at) {
                let _ = kill(Pid::from_raw(pid), signal);
                let _ = kill(Pid::from_raw(pid), Signal::SIGCONT);
            }
        }
        let deadline = Instant::now() + if step == 0 { Duration::from_secs(2) } else { PATIENCE };
        while Instant::now() < deadline {
            left.retain(|&(pid, at)| started(pid) == Some(at));
            if left.is_empty() {
                return Ok(());
            }
            thread::sleep(Duration::from_millis(20));
        }
    }
    anyhow::bail!("process {} was left over and does not end", left.first().map_or(0, |p| p.0))
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn a_program_name_with_brackets_and_spaces_hides_nothing() {
        let line = "7 (a) b (c) S 1 7 7 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 4711 0 0";
        assert_eq!(parse(7, line), Some(Stat { pid: 7, parent: 1, group: 7, started: 4711, zombie: false }));
    }

    #[test]
    fn what_a_killed_command_left_running_is_stopped_and_nothing_else() {
        let dir = std::env::temp_dir().join(format!("xtask-pids-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let file = dir.join("pids");
        let mut ours = Command::new("sleep").arg("600").spawn().unwrap();
        let mut stubborn = Command::new("sh").args(["-c", "trap '' INT; exec sleep 600"]).spawn().unwrap();
        let mut foreign = Command::new("sleep").arg("600").spawn().unwrap();
        let pid = |child: &std::process::Child| i32::try_from(child.id()).unwrap();
        let ledger = Ledger::open(file.clone()).unwrap();
        ledger.add("ours", pid(&ours)).unwrap();
        ledger.add("stubborn", pid(&stubborn)).unwrap();
        // Another process that has got the number of one of ours: the start time differs.
        let mut text = fs::read_to_string(&file).unwrap();
        text += &format!("{} 1 reused\n", foreign.id());
        fs::write(&file, text).unwrap();
        drop(ledger);

        Ledger::open(file).unwrap();

        assert!(started(pid(&ours)).is_none());
        assert!(started(pid(&stubborn)).is_none());
        assert!(started(pid(&foreign)).is_some());
        for child in [&mut ours, &mut stubborn, &mut foreign] {
            drop(child.kill());
            child.wait().unwrap();
        }
        fs::remove_dir_all(dir).unwrap();
    }
}
