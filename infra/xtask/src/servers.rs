//! A Postgres and a RabbitMQ of one's own: on 127.0.0.1, with own ports, passwords and folders, and stopped, with
//! all that belongs to them, when they are dropped or when the program that started them dies.
//!
//! ```no_run
//! use std::path::Path;
//! use xtask::servers::{Postgres, PostgresOptions, RabbitMq, RabbitMqOptions};
//!
//! # fn main() -> anyhow::Result<()> {
//! let mut postgres = Postgres::start(Path::new("target/mine/postgres"), PostgresOptions::default())?;
//! let rabbitmq = RabbitMq::start(
//!     Path::new("target/mine/rabbitmq"),
//!     RabbitMqOptions { management: true, ..RabbitMqOptions::default() },
//! )?;
//! let (database, broker) = (postgres.url(), rabbitmq.url());
//! postgres.kill();          // as if the power went
//! postgres.start_again()?;  // same folder, same port, same URL
//! # drop((database, broker));
//! # Ok(())
//! # }
//! ```

mod amqp_login;
pub mod postgres;
pub mod rabbitmq;

pub use postgres::{Options as PostgresOptions, Postgres};
pub use rabbitmq::{Options as RabbitMqOptions, RabbitMq};

use std::{fs, path::Path, thread, time::Duration, time::Instant};

use anyhow::{Context, Result, bail};

use crate::{checkout, children::Child, interrupt, secrets};

/// The password in this folder, made if there is none.
fn password(dir: &Path, given: Option<String>) -> Result<String> {
    let file = dir.join("password");
    match (given, fs::read_to_string(&file)) {
        (Some(given), _) => Ok(given),
        (None, Ok(kept)) => Ok(kept.trim().to_owned()),
        (None, Err(_)) => {
            let made = secrets::password()?;
            secrets::write_private(&file, &made)?;
            Ok(made)
        }
    }
}

/// The absolute path of a folder, made if it is not there: a server changes its working directory.
fn folder(dir: &Path) -> Result<std::path::PathBuf> {
    checkout::make(dir)?;
    dir.canonicalize().with_context(|| format!("cannot find the folder {}", dir.display()))
}

/// Waits until a server answers.
///
/// # Errors
/// If it ends before, or does not answer in time; with the last lines of its log. If we are told to stop.
fn wait_until(
    child: &mut Child,
    log: &Path,
    patience: Duration,
    mut answers: impl FnMut() -> Result<()>,
) -> Result<()> {
    let deadline = Instant::now() + patience;
    loop {
        interrupt::check()?;
        if let Some(status) = child.ended() {
            bail!("{} ended while it started ({status}); see {}{}", child.name(), log.display(), tail(log));
        }
        match answers() {
            Ok(()) => return Ok(()),
            Err(_) if Instant::now() < deadline => thread::sleep(Duration::from_millis(50)),
            Err(error) => bail!(
                "{} does not answer after {} s ({error}); see {}{}",
                child.name(),
                patience.as_secs(),
                log.display(),
                tail(log)
            ),
        }
    }
}

fn tail(log: &Path) -> String {
    crate::programs::last_lines(&fs::read(log).unwrap_or_default(), 12)
}
