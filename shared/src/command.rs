//! Commands typed in the chat: one file each under `command/`, one line each in [`COMMANDS`]. `!help` is made from it.
pub mod help;
pub mod ping;

/// A command.
pub struct Command {
    /// The word after `!`.
    pub name: &'static str,
    /// How it is used, as `!help` shows it.
    pub usage: &'static str,
    /// What it does, in one line.
    pub purpose: &'static str,
    /// Answers; the words after the command.
    pub run: fn(&[&str]) -> String,
}

/// Every command, in the order in which `!help` shows them.
pub const COMMANDS: &[Command] = &[help::COMMAND, ping::COMMAND];

/// The command's word in a line that starts with `!`, in lower case; `None` for a line that is none. A lone `!` and an
/// exclamation such as `!!!` are talk.
#[must_use]
pub fn word(line: &str) -> Option<String> {
    let first = line.trim_start().strip_prefix('!')?.split_whitespace().next()?;
    let starts =
        line.trim_start().strip_prefix('!').is_some_and(|rest| rest.starts_with(|c: char| c.is_alphanumeric()));
    starts.then(|| first.to_lowercase())
}

/// The command's name, if it is one of ours.
#[must_use]
pub fn known(word: &str) -> Option<&'static str> {
    COMMANDS.iter().find(|c| c.name == word).map(|c| c.name)
}

/// What is answered to a line with that word.
#[must_use]
pub fn answer(word: &str, line: &str) -> String {
    let words: Vec<&str> = line.split_whitespace().skip(1).collect();
    match COMMANDS.iter().find(|c| c.name == word) {
        Some(command) => (command.run)(&words),
        // The word is not repeated: it may be anything.
        None => "I do not know that command. !help lists those I know.".to_owned(),
    }
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
    fn help_names_every_command() {
        let help = answer("help", "!help");
        for command in COMMANDS {
            assert!(help.contains(command.usage) && help.contains(command.purpose), "{}", command.name);
        }
    }

    #[test]
    fn help_on_one_command_shows_its_usage() {
        assert!(answer("help", "!help ping").starts_with("!ping"));
        assert!(answer("help", "!help nothing").contains("!help"));
    }

    #[test]
    fn an_unknown_word_gets_a_hint_and_is_not_repeated() {
        let hint = answer("frobnicate", "!frobnicate 5551234");
        assert!(hint.contains("!help") && !hint.contains("frobnicate"));
    }

    #[test]
    fn every_file_stands_in_the_table() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/command");
        let mut files: Vec<String> = std::fs::read_dir(folder)
            .unwrap()
            .map(|f| f.unwrap().path().file_stem().unwrap().to_string_lossy().into_owned())
            .collect();
        let mut names: Vec<&str> = COMMANDS.iter().map(|c| c.name).collect();
        files.sort();
        names.sort_unstable();
        assert_eq!(files, names);
    }
}
