//! Commands typed in the chat: one file each under `command/`, one line each in [`COMMANDS`]. `!help` and the README's
//! table are made from it.
pub mod ban;
pub mod bans;
pub mod cancel;
pub mod clear;
pub mod failed;
pub mod help;
pub mod mute;
pub mod mutes;
pub mod ping;
pub mod publish;
pub mod replay;
pub mod stats;
pub mod status;
pub mod unban;
pub mod unmute;
pub mod who;
pub mod words;

use std::pin::Pin;
use std::time::Duration;

use crate::chat::Author;
use crate::config::{Chat, Who};
use crate::relay::Relay;
use crate::store::StoreError;
use crate::store::commands::Turn;

/// What a command may do; each grade has its list of people in `[chat]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grade {
    /// It shows something.
    Look,
    /// It changes something.
    Act,
    /// It publishes to the exchange.
    Publish,
}

impl Grade {
    /// As `[chat]` and the README name it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Look => "look",
            Self::Act => "act",
            Self::Publish => "publish",
        }
    }

    /// Who may use commands of this grade.
    #[must_use]
    pub fn who(self, chat: &Chat) -> &Who {
        match self {
            Self::Look => &chat.look,
            Self::Act => &chat.act,
            Self::Publish => &chat.publish,
        }
    }
}

/// A command.
pub struct Command {
    /// The word after `!`.
    pub name: &'static str,
    /// How it is used, as `!help` shows it.
    pub usage: &'static str,
    /// What it does, in one line.
    pub purpose: &'static str,
    /// What it may do.
    pub grade: Grade,
    /// It publishes to the broker, which may take longer than GroupMe waits: then the dispatcher does it.
    pub publishes: bool,
    /// Does it, within the turn, and says what is answered.
    pub run: for<'a> fn(&'a Asked<'a>) -> Running<'a>,
}

/// A command at work.
pub type Running<'a> = Pin<Box<dyn Future<Output = Result<Said, StoreError>> + Send + 'a>>;

/// What a command has to work with.
pub struct Asked<'a> {
    /// All else.
    pub relay: &'a Relay,
    /// The transaction in which its effect and its outcome are written.
    pub turn: &'a Turn,
    /// Where it was typed.
    pub room: &'a str,
    /// Who typed it.
    pub author: &'a Author,
    /// Names the line: the same when it comes again.
    pub name: &'a str,
    /// The line as it was typed.
    pub text: &'a str,
    /// The words after the command.
    pub words: &'a [String],
    /// How long somebody outside may take.
    pub patience: Duration,
}

/// What came of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// One word for the record.
    pub outcome: &'static str,
    /// What is answered in the room; empty: nothing.
    pub text: String,
}

impl Said {
    /// It was done, or shown.
    pub(crate) fn done(text: impl Into<String>) -> Self {
        Self { outcome: "done", text: text.into() }
    }

    /// There was nothing to do.
    pub(crate) fn none(text: impl Into<String>) -> Self {
        Self { outcome: "none", text: text.into() }
    }

    /// It was typed wrongly.
    pub(crate) fn usage(command: &Command) -> Self {
        Self { outcome: "usage", text: format!("Usage: {}", command.usage) }
    }
}

/// Every command, in the order in which `!help` shows them.
pub const COMMANDS: &[Command] = &[
    help::COMMAND,
    ping::COMMAND,
    status::COMMAND,
    who::COMMAND,
    stats::COMMAND,
    ban::COMMAND,
    unban::COMMAND,
    bans::COMMAND,
    failed::COMMAND,
    replay::COMMAND,
    cancel::COMMAND,
    mute::COMMAND,
    unmute::COMMAND,
    mutes::COMMAND,
    clear::COMMAND,
    publish::COMMAND,
];

/// How far a word may be from a command's name to be taken for it: letters missing, wrong or swapped.
const NEAR: usize = 2;

/// The command's word in a line that starts with `!`, in lower case; `None` for a line that is none. A lone `!` and an
/// exclamation such as `!!!` are talk.
#[must_use]
pub fn word(line: &str) -> Option<String> {
    let first = line.trim_start().strip_prefix('!')?.split_whitespace().next()?;
    let starts =
        line.trim_start().strip_prefix('!').is_some_and(|rest| rest.starts_with(|c: char| c.is_alphanumeric()));
    starts.then(|| first.to_lowercase())
}

/// The command of this name.
#[must_use]
pub fn find(word: &str) -> Option<&'static Command> {
    COMMANDS.iter().find(|command| command.name == word)
}

/// What is answered to a word that is no command. The word is not repeated: it may be anything.
#[must_use]
pub fn unknown(word: &str) -> Said {
    let distance = |command: &&Command| strsim::osa_distance(command.name, word);
    let near = COMMANDS.iter().min_by_key(distance).filter(|command| distance(command) <= NEAR);
    let text = match near {
        Some(command) => format!("I do not know that command. Did you mean {}?", command.usage),
        None => "I do not know that command. !help lists those I know.".to_owned(),
    };
    Said { outcome: "unknown", text }
}

/// The README's table, as it must stand there between the `commands` markers.
#[must_use]
pub fn readme_rows() -> String {
    let head = "| command | grade | what it does |\n| --- | --- | --- |\n".to_owned();
    COMMANDS.iter().fold(head, |rows, Command { usage, grade, purpose, .. }| {
        let usage = usage.replace('|', "\\|");
        rows + &format!("| `{usage}` | {} | {purpose} |\n", grade.as_str())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_starts_with_an_exclamation_mark_and_a_word_is_a_command() {
        assert_eq!(word("!PING now").as_deref(), Some("ping"));
        assert_eq!(word("  !help\tping").as_deref(), Some("help"));
        for talk in ["ping", "!", "! ping", "!!!", "", "hey !ping"] {
            assert_eq!(word(talk), None, "{talk}");
        }
    }

    #[test]
    fn an_unknown_word_gets_the_nearest_command_and_is_not_repeated() {
        assert!(unknown("bann").text.contains("!ban <uid>"), "{:?}", unknown("bann"));
        assert!(unknown("pnig").text.contains("!ping"));
        let hint = unknown("frobnicate").text;
        assert!(hint.contains("!help") && !hint.contains("frobnicate"));
    }

    #[test]
    fn the_readmes_table_is_made_from_this_one() {
        let readme = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../README.md")).unwrap();
        let (_, after) = readme.split_once("<!-- commands -->\n").unwrap();
        let (rows, _) = after.split_once("<!-- /commands -->").unwrap();
        assert_eq!(rows, readme_rows(), "the table between the markers of README.md must be:\n{}", readme_rows());
    }

    #[test]
    fn every_file_stands_in_the_table() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/command");
        let mut files: Vec<String> = std::fs::read_dir(folder)
            .unwrap()
            .map(|f| f.unwrap().path().file_stem().unwrap().to_string_lossy().into_owned())
            .filter(|name| name != "words")
            .collect();
        let mut names: Vec<&str> = COMMANDS.iter().map(|c| c.name).collect();
        files.sort();
        names.sort_unstable();
        assert_eq!(files, names);
    }
}
