//! `!help`: what can be typed, made from the table.
use super::{Asked, COMMANDS, Command, Grade, Running, Said, find};

/// `!help [command]`
pub const COMMAND: Command = Command {
    name: "help",
    usage: "!help [command]",
    purpose: "what can be typed here",
    grade: Grade::Look,
    publishes: false,
    run,
};

fn run<'a>(asked: &'a Asked<'a>) -> Running<'a> {
    Box::pin(answer(asked))
}

async fn answer(asked: &Asked<'_>) -> Result<Said, crate::store::StoreError> {
    Ok(Said::done(help(asked.words.first().map(String::as_str))))
}

fn help(word: Option<&str>) -> String {
    let asked = word.map(|word| word.trim_start_matches('!').to_lowercase());
    match asked.and_then(|name| find(&name)) {
        Some(command) => format!("{}: {}", command.usage, command.purpose),
        None => COMMANDS.iter().map(|command| command.usage).collect::<Vec<_>>().join("\n"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn help_names_every_command_in_one_post() {
        let help = help(None);
        assert!(COMMANDS.iter().all(|command| help.contains(command.usage)));
        assert!(help.chars().count() <= 900, "{}", help.len());
    }

    #[test]
    fn help_on_one_command_says_what_it_does() {
        assert!(help(Some("!PING")).starts_with("!ping: "));
        assert!(help(Some("nothing")).contains("!help"));
    }
}
