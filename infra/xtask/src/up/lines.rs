//! What our programs print: into their log files always, onto the terminal once there is nothing left to set up.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    path::{Path, PathBuf},
    sync::{
        atomic::{AtomicBool, Ordering},
        mpsc::Sender,
    },
    thread,
};

use anyhow::Result;

use crate::{checkout, children, progress::say};

static SHOWN: AtomicBool = AtomicBool::new(false);

/// From now on lines are shown as they come.
pub(super) fn show() {
    SHOWN.store(true, Ordering::SeqCst);
}

/// From now on they are only kept.
pub(super) fn hide() {
    SHOWN.store(false, Ordering::SeqCst);
}

/// The folder of the log files.
pub(super) fn folder() -> PathBuf {
    checkout::station().join("log")
}

/// The log file of this name, empty; what an earlier `up` wrote there is kept once, beside it.
///
/// # Errors
/// If the folder cannot be made.
pub(super) fn file(name: &str) -> Result<PathBuf> {
    checkout::make(&folder())?;
    let file = folder().join(format!("{name}.log"));
    drop(fs::rename(&file, folder().join(format!("{name}.before.log"))));
    Ok(file)
}

/// Keeps, and shows if `shown`, each line of a program's output; sends those of its standard output on to who waits
/// for one.
///
/// # Errors
/// If the log file cannot be written.
pub(super) fn follow(
    child: &mut children::Child,
    log: &Path,
    shown: bool,
    waiting: Option<Sender<String>>,
) -> Result<()> {
    let (out, err) = child.pipes();
    if let Some(out) = out {
        pump(out, child.name().to_owned(), log, shown, waiting)?;
    }
    if let Some(err) = err {
        pump(err, child.name().to_owned(), log, shown, None)?;
    }
    Ok(())
}

fn pump(
    from: impl Read + Send + 'static,
    name: String,
    log: &Path,
    shown: bool,
    waiting: Option<Sender<String>>,
) -> Result<()> {
    let mut log = children::log_file(log)?;
    thread::spawn(move || {
        for line in BufReader::new(from).split(b'\n') {
            let Ok(mut line) = line else { return };
            let text = String::from_utf8_lossy(&line).into_owned();
            // One write a line: two programs and two streams share a file. A full disk must not stop the program.
            line.push(b'\n');
            drop(log.write_all(&line));
            if shown && SHOWN.load(Ordering::SeqCst) {
                say(format!("{name} | {text}"));
            }
            if let Some(waiting) = &waiting {
                drop(waiting.send(text));
            }
        }
    });
    Ok(())
}
