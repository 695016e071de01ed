//! Programs that we start and that must not outlive us. Each has a process group of its own, so that Ctrl-C, which
//! the terminal sends to our whole group, reaches us alone and we stop them in order.

use std::{
    fs::{File, OpenOptions},
    io,
    path::Path,
    process::{self, Command, ExitStatus, Stdio},
    sync::{OnceLock, mpsc},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use std::os::unix::process::CommandExt;

use crate::pids::{self, Ledger};

/// A program that runs. It is stopped when this is dropped.
#[derive(Debug)]
pub struct Child {
    name: String,
    child: process::Child,
    /// What asks it to end in order.
    end: Signal,
    ended: Option<ExitStatus>,
}

impl Child {
    /// Starts a program and writes it down.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn start(name: &str, mut command: Command, end: Signal, ledger: &Ledger) -> Result<Child> {
        command.stdin(Stdio::null()).process_group(0);
        let child = spawn(command).with_context(|| format!("cannot start {name}"))?;
        let child = Child { name: name.to_owned(), child, end, ended: None };
        ledger.add(name, child.pid())?;
        Ok(child)
    }

    /// Its process id, which is that of its group.
    pub fn pid(&self) -> i32 {
        i32::try_from(self.child.id()).unwrap_or(i32::MAX)
    }

    /// What it is called in what we say.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its standard output and error, where they are pipes; once.
    pub fn pipes(&mut self) -> (Option<process::ChildStdout>, Option<process::ChildStderr>) {
        (self.child.stdout.take(), self.child.stderr.take())
    }

    /// How it ended, if it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        if self.ended.is_none() {
            self.ended = self.child.try_wait().ok().flatten();
        }
        self.ended
    }

    /// Sends a signal to it alone.
    pub fn signal(&mut self, signal: Signal) {
        if self.ended().is_none() {
            let _ = kill(Pid::from_raw(self.pid()), signal);
        }
    }

    /// Sends a signal to it and to all that it started.
    pub fn signal_all(&mut self, signal: Signal) {
        if self.ended().is_none() {
            pids::signal_family(self.pid(), signal);
        }
    }

    /// Asks it to end, without waiting.
    pub fn ask_to_end(&mut self) {
        self.signal(self.end);
        // One that a test has frozen could not hear it.
        self.signal_all(Signal::SIGCONT);
    }

    /// Waits until it has ended; kills it with all that it started if that takes longer than this.
    pub fn wait_or_kill(&mut self, patience: Duration) {
        let deadline = Instant::now() + patience;
        while self.ended().is_none() {
            if Instant::now() > deadline {
                return self.kill();
            }
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Ends it, in order if it does so within this time.
    pub fn stop(&mut self, patience: Duration) {
        self.ask_to_end();
        self.wait_or_kill(patience);
    }

    /// Kills it and all that it started, at once.
    pub fn kill(&mut self) {
        if self.ended().is_none() {
            let family = pids::family(self.pid());
            self.signal_all(Signal::SIGKILL);
            self.ended = self.child.wait().ok();
            // Those of its children die a moment later, and until then hold ports, locks and shared memory.
            let deadline = Instant::now() + Duration::from_secs(5);
            while family.iter().any(|&pid| pids::started(pid).is_some()) && Instant::now() < deadline {
                thread::sleep(Duration::from_millis(5));
            }
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.stop(Duration::from_secs(3));
    }
}

/// Opens a log file to write at its end.
///
/// # Errors
/// If it cannot be opened.
pub fn log_file(file: &Path) -> Result<File> {
    OpenOptions::new().create(true).append(true).open(file).with_context(|| format!("cannot write {}", file.display()))
}

type Order = (Command, mpsc::Sender<io::Result<process::Child>>);

/// Starts a program from a thread that never ends: "when the parent dies", as the kernel means it, is when the
/// *thread* dies that started it.
fn spawn(command: Command) -> io::Result<process::Child> {
    static STARTER: OnceLock<mpsc::Sender<Order>> = OnceLock::new();
    let starter = STARTER.get_or_init(|| {
        let (sender, orders) = mpsc::channel::<Order>();
        thread::spawn(move || {
            for (mut command, answer) in orders {
                drop(answer.send(command.spawn()));
            }
        });
        sender
    });
    let gone = || io::Error::other("the thread that starts programs has ended");
    let (answer, started) = mpsc::channel();
    starter.send((command, answer)).map_err(|_| gone())?;
    started.recv().map_err(|_| gone())?
}
