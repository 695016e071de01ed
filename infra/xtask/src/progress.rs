//! What is said to the person at the terminal. A reader that does not read (a pipe that nobody empties, a closed
//! one) must hold up nothing: lines go through a bounded queue, and what finds it full stays in the log files only.

use std::{
    io::Write,
    sync::{
        OnceLock,
        mpsc::{SyncSender, TrySendError, sync_channel},
    },
    thread,
    time::{Duration, Instant},
};

enum Out {
    Line(String),
    Flush(SyncSender<()>),
}

fn printer() -> &'static SyncSender<Out> {
    static PRINTER: OnceLock<SyncSender<Out>> = OnceLock::new();
    PRINTER.get_or_init(|| {
        let (sender, lines) = sync_channel(10_000);
        thread::spawn(move || {
            let mut out = std::io::stdout();
            for item in lines {
                match item {
                    Out::Line(line) => drop(writeln!(out, "{line}").and_then(|()| out.flush())),
                    Out::Flush(done) => drop(done.try_send(())),
                }
            }
        });
        sender
    })
}

/// Prints one line, if whoever reads has kept up so far.
pub fn say(line: impl Into<String>) {
    match printer().try_send(Out::Line(line.into())) {
        Ok(()) | Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {}
    }
}

/// Prints one line, and waits for whoever reads: for what may not be missed.
pub fn print(line: impl Into<String>) {
    drop(printer().send(Out::Line(line.into())));
}

/// Waits until what was said so far is printed, at most so long.
pub fn flush(patience: Duration) {
    let deadline = Instant::now() + patience;
    let (done, printed) = sync_channel(1);
    let mut order = Out::Flush(done);
    while let Err(TrySendError::Full(again)) = printer().try_send(order) {
        if Instant::now() > deadline {
            return;
        }
        order = again;
        thread::sleep(Duration::from_millis(10));
    }
    let _ = printed.recv_timeout(deadline.saturating_duration_since(Instant::now()));
}

/// Does one step of the work and says what it is and how long it took.
///
/// # Errors
/// Those of the step.
pub fn step<T, E>(what: &str, work: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
    say(format!("  … {what}"));
    let start = Instant::now();
    let result = work();
    let mark = if result.is_ok() { "ok" } else { "failed" };
    say(format!("  {mark} {what} ({:.1} s)", start.elapsed().as_secs_f32()));
    result
}
