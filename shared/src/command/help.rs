//! `!help`: what can be typed, made from the table.
use super::{COMMANDS, Command};

/// `!help [command]`
pub const COMMAND: Command = Command { name: "help", usage: "!help [command]", purpose: "what can be typed here", run };

fn run(words: &[&str]) -> String {
    let asked = words.first().map(|w| w.trim_start_matches('!').to_lowercase());
    if let Some(command) = asked.and_then(|name| COMMANDS.iter().find(|c| c.name == name)) {
        return format!("{}: {}", command.usage, command.purpose);
    }
    let lines: Vec<String> = COMMANDS.iter().map(|c| format!("{}: {}", c.usage, c.purpose)).collect();
    lines.join("\n")
}
