//! Being told to stop: Ctrl-C, a closed terminal, `kill`.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use anyhow::{Context, Result, bail};
use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGTERM},
    iterator::Signals,
};

use crate::pids;

static ASKED: AtomicBool = AtomicBool::new(false);

/// From now on a signal does not end us, but is remembered, and ends what runs in our own process group's families:
/// a build or an installation, which would otherwise have to be waited for.
///
/// # Errors
/// If the system does not let us.
pub(crate) fn listen() -> Result<()> {
    let mut signals = Signals::new([SIGHUP, SIGINT, SIGTERM]).context("cannot listen for signals")?;
    thread::spawn(move || {
        for _ in signals.forever() {
            if !ASKED.swap(true, Ordering::SeqCst) {
                end_builds();
            }
        }
    });
    Ok(())
}

/// Ends what we run in the foreground. Our servers and functions are not among it: each leads a group of its own,
/// and is stopped in order.
fn end_builds() {
    let me = nix::unistd::getpid().as_raw();
    for pid in pids::members_of_own_group(me) {
        let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGTERM);
    }
}

/// Whether we were told to stop.
pub(crate) fn asked() -> bool {
    ASKED.load(Ordering::SeqCst)
}

/// Goes on only if we were not told to stop.
///
/// # Errors
/// If we were.
pub(crate) fn check() -> Result<()> {
    if asked() {
        bail!("stopped");
    }
    Ok(())
}
