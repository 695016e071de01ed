//! `cargo xtask doctor`: looks at everything that Talkback needs, changes nothing, and says of what is not well what to
//! do about it. With the settings of the environment it looks from inside; with an address, from outside.
mod deployed;
mod groupme;
mod local;

use std::fmt;

use anyhow::{Result, bail};
use talkback::config;

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// It is well; with what is worth knowing.
    Well(String),
    /// Nothing can be said of it from here, and why.
    Unknown(String),
    /// It is not well: what is wrong, and what to do.
    Ill(String, String),
}

/// Everything that was looked at.
#[derive(Debug, Default)]
pub struct Report(Vec<(String, Finding)>);

impl Report {
    fn note(&mut self, what: impl Into<String>, finding: Finding) {
        self.0.push((what.into(), finding));
    }

    /// Whether nothing is ill.
    #[must_use]
    pub fn is_well(&self) -> bool {
        !self.0.iter().any(|(_, finding)| matches!(finding, Finding::Ill(..)))
    }

    /// What was found, in the order of looking.
    #[must_use]
    pub fn findings(&self) -> &[(String, Finding)] {
        &self.0
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ill = self.0.iter().filter(|(_, finding)| matches!(finding, Finding::Ill(..))).count();
        match ill {
            0 => writeln!(f, "all is well")?,
            1 => writeln!(f, "1 thing is not well")?,
            _ => writeln!(f, "{ill} things are not well")?,
        }
        for (n, (what, finding)) in self.0.iter().enumerate() {
            if n > 0 {
                writeln!(f)?;
            }
            match finding {
                Finding::Well(told) => write!(f, "  ok   {what:<18} {told}")?,
                Finding::Unknown(why) => write!(f, "  ?    {what:<18} {why}")?,
                Finding::Ill(wrong, remedy) => write!(f, "  BAD  {what:<18} {wrong}\n       {:<18} -> {remedy}", "")?,
            }
        }
        Ok(())
    }
}

/// Looks at what the words say: nothing for the settings of the environment; `--url URL` for what runs there.
///
/// # Errors
/// The words are wrong. What is not well is no error here, but in the report.
pub async fn run(words: &[&str]) -> Result<Report> {
    let mut url = None;
    // Not an argument: those are for everybody on the machine to read.
    let key = config::key();
    let mut rest = words.iter();
    while let Some(word) = rest.next() {
        let value = rest.next().map(|value| (*value).to_owned());
        match (*word, value) {
            ("--url", Some(value)) => url = Some(value),
            _ => bail!("doctor [--url URL]; a key is taken from TALKBACK_KEY"),
        }
    }
    match url {
        Some(url) => deployed::look(&url, key).await,
        None => Ok(local::look().await),
    }
}

/// A difference of clocks that nobody need mind: GroupMe and TLS tell seconds.
const CLOCK: f64 = 5.0;

fn clock(of: &str, ahead: f64) -> Finding {
    let (seconds, side) = (ahead.abs(), if ahead > 0.0 { "behind" } else { "ahead of" });
    if seconds <= CLOCK {
        return Finding::Well(format!("within {seconds:.1} s of {of}'s"));
    }
    let wrong = format!("this machine's is {seconds:.0} s {side} {of}'s");
    Finding::Ill(
        wrong,
        "set the clock that is wrong (timedatectl set-ntp true); the relay itself goes by the database's".to_owned(),
    )
}

fn age(seconds: f64) -> String {
    match seconds {
        s if s < 120.0 => format!("{s:.0} s"),
        s if s < 7200.0 => format!("{:.0} min", s / 60.0),
        s if s < 172_800.0 => format!("{:.0} h", s / 3600.0),
        s => format!("{:.0} days", s / 86400.0),
    }
}

/// When the chat last called back about a line of a room, in seconds.
fn heard(room: &str, callback: Option<f64>) -> Finding {
    match callback {
        Some(ago) => Finding::Well(format!("{room}: the last came {} ago", age(ago))),
        None => Finding::Ill(
            format!("{room}: none ever came"),
            "set the bot's callback URL (dev.groupme.com/bots) and say something in the room".to_owned(),
        ),
    }
}

/// When a function last worked, in seconds. Only the dispatcher always has something to do.
fn ran(function: &str, last: Option<f64>) -> Finding {
    match last {
        Some(ago) if function == "dispatcher" && ago > 180.0 => Finding::Ill(
            format!("last worked {} ago", age(ago)),
            "nothing waiting is posted: is its schedule (or talkback-host) running? see its log".to_owned(),
        ),
        Some(ago) => Finding::Well(format!("last worked {} ago", age(ago))),
        None if function == "dispatcher" => Finding::Ill(
            "never worked".to_owned(),
            "start it: the schedule invokes it each minute, talkback-host has it inside".to_owned(),
        ),
        None => {
            Finding::Unknown("never worked: nothing came by RabbitMQ yet, or its mapping is not enabled".to_owned())
        }
    }
}
