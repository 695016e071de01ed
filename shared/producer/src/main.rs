//! `talkback-send`: says one message from a shell or a script, through Talkback or, where that does not answer, itself.
use std::collections::HashMap;
use std::io::{Read as _, Write as _};
use std::process::ExitCode;
use std::time::Duration;

use talkback_producer::{Flushed, Message, Outcome, Producer, Recorded, Settings};

mod arguments;

use arguments::{Command, HELP, Say};

/// The most that is read of a message.
const LONGEST: u64 = 1 << 20;

/// How long what lies in the spool may keep a program that only wanted to say something.
const FLUSH_AFTERWARDS: Duration = Duration::from_secs(5);
/// And one that was asked to flush.
const FLUSH: Duration = Duration::from_secs(300);

/// How it ended, for the shell. Every code is in the help.
#[derive(Clone, Copy)]
enum Exit {
    Said = 0,
    Failed = 1,
    Usage = 2,
    Kept = 3,
    Unrecorded = 4,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

fn main() -> ExitCode {
    match arguments::read(std::env::args_os().skip(1)) {
        Ok(Command::Help) => {
            tell(HELP);
            ExitCode::SUCCESS
        }
        Ok(command) => match run(command) {
            Ok(exit) => exit.into(),
            Err(wrong) => {
                complain(&wrong);
                Exit::Usage.into()
            }
        },
        Err(wrong) => {
            complain(&format!("{wrong}; talkback-send --help says more"));
            Exit::Usage.into()
        }
    }
}

/// What can be wrong before anything is said is told as text.
fn run(command: Command) -> Result<Exit, String> {
    let vars: HashMap<String, String> = std::env::vars_os()
        .map(|(name, value)| (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned()))
        .collect();
    let mut settings =
        Settings::from_vars(&vars).map_err(|error| format!("{error}; talkback-send --help says what they are"))?;
    let say = match command {
        Command::Say(say) => Some(say),
        Command::Flush | Command::Help => None,
    };
    let message = say.as_ref().map(message).transpose()?;
    if let Some(say) = say {
        settings.exchange = say.exchange.unwrap_or(settings.exchange);
        settings.patience = say.patience.unwrap_or(settings.patience);
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| format!("cannot start: {}", error.kind()))?;
    let producer = Producer::new(settings).map_err(|error| error.to_string())?;
    Ok(runtime.block_on(async {
        let exit = match &message {
            Some(message) => {
                let outcome = producer.send(message).await;
                let exit = told(message, &outcome);
                // A broker that did not take one record takes no other, and GroupMe that did not take a post takes no other.
                let is_away = match &outcome {
                    Outcome::Posted { recorded, .. } => *recorded != Recorded::Published,
                    outcome => matches!(outcome, Outcome::Kept { .. }),
                };
                if !is_away && let Some(why) = producer.flush(FLUSH_AFTERWARDS).await.why {
                    complain(&format!("something is left in the spool: {why}"));
                }
                exit
            }
            None => flushed(&producer.flush(FLUSH).await),
        };
        producer.close().await;
        exit
    }))
}

fn message(say: &Say) -> Result<Message, String> {
    let text = match &say.text {
        Some(text) => text.clone(),
        None if !say.images.is_empty() && !say.reads_input => String::new(),
        None => {
            let mut bytes = Vec::new();
            let read = std::io::stdin().lock().take(LONGEST + 1).read_to_end(&mut bytes);
            read.map_err(|error| format!("cannot read the message: {}", error.kind()))?;
            if bytes.len() as u64 > LONGEST {
                return Err("the message is longer than 1 MiB".to_owned());
            }
            // The line feed that a shell puts at the end is not part of it.
            String::from_utf8_lossy(&bytes).trim_end_matches(['\r', '\n']).to_owned()
        }
    };
    let message = Message::with_pictures(&say.source, &text, say.images.clone()).map_err(|error| error.to_string())?;
    let message = say.uid.map_or(message.clone(), |uid| message.clone().under(uid));
    Ok(say.priority.map_or(message.clone(), |priority| message.of(priority)))
}

/// Says how it ended: one word and the uid on the output, whatever a person should know beside it.
fn told(message: &Message, outcome: &Outcome) -> Exit {
    let (word, exit) = match outcome {
        Outcome::Talkback { whole: true, .. } => ("success", Exit::Said),
        Outcome::Talkback { .. } => ("taken", Exit::Said),
        Outcome::Posted { recorded: Recorded::Nowhere { .. }, .. } => ("posted", Exit::Unrecorded),
        Outcome::Posted { .. } => ("posted", Exit::Said),
        Outcome::Kept { .. } => ("kept", Exit::Kept),
        Outcome::Refused { .. } => ("refused", Exit::Failed),
        Outcome::Failed { .. } => ("failed", Exit::Failed),
    };
    tell(&format!("{word} {}", message.uid()));
    if !matches!(outcome, Outcome::Talkback { .. }) {
        complain(&outcome.to_string());
    }
    exit
}

fn flushed(flushed: &Flushed) -> Exit {
    tell(&format!("flushed {}, failed {}, left {}", flushed.done, flushed.failed, flushed.left));
    if let Some(why) = &flushed.why {
        complain(why);
    }
    match flushed {
        Flushed { failed: 1.., .. } => Exit::Failed,
        Flushed { left: 1.., .. } => Exit::Kept,
        Flushed { why: Some(_), .. } => Exit::Failed,
        Flushed { .. } => Exit::Said,
    }
}

fn tell(text: &str) {
    // Whoever closed our output does not want to know.
    let _ = writeln!(std::io::stdout().lock(), "{}", text.trim_end());
}

fn complain(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "talkback-send: {text}");
}
