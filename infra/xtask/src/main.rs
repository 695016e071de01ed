//! `cargo xtask …`: everything that is done with this project by hand.

use std::{process::ExitCode, time::Duration};

use anyhow::{Result, bail};
use xtask::{bench, chaos, demo, fuzz, images, key, openapi, operator, progress, publish, test, up};

/// A word after `cargo xtask`, how to go on, and what it does.
const COMMANDS: [(&str, &str, &str); 16] = [
    ("up", up::USAGE, "the whole relay on this machine"),
    ("test", test::USAGE, "everything that is checked, on servers of its own"),
    ("chaos", chaos::USAGE, "attacks everything, again and again, and counts what is lost, doubled or out of order"),
    ("bench", bench::USAGE, "how fast it is, beside its peers and its targets"),
    ("images", images::USAGE, "container images of what is deployed, and how fast they start"),
    ("fuzz", fuzz::USAGE, "asks each property of whatever a fuzzer can think of, a minute each"),
    ("demo", demo::USAGE, "one of everything that can arrive, sent to what `up` runs"),
    ("publish", publish::USAGE, "publishes a message to the broker of what `up` runs"),
    ("key", key::USAGE, "makes a key for POST /send and POST /v3/bots/post"),
    ("replay", operator::REPLAY, "sends again what failed, expired, was withdrawn or is unconfirmed"),
    ("resume", operator::RESUME, "opens a room that was paused or suspended"),
    ("import", operator::IMPORT, "records what only a log tells of alarms that were posted while all else was down"),
    ("erase", operator::ERASE, "removes a person: who they are and what they said; that they wrote stays"),
    ("export", operator::EXPORT, "writes what was said to the rooms and in them, a line of JSON each"),
    ("doctor", operator::DOCTOR, "what is wrong with what runs here, or at an address, and what to do about it"),
    ("openapi", openapi::USAGE, "makes infra/openapi.yaml anew from the types"),
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (command, arguments) = match arguments.split_first() {
        Some((command, arguments)) => (command.as_str(), arguments),
        None => ("", &[][..]),
    };
    let asks = |word: &str| word == "--help" || word == "-h";
    let done = match COMMANDS.iter().find(|(name, ..)| *name == command) {
        Some((_, usage, what)) if arguments.first().is_some_and(|word| asks(word)) => {
            progress::print(format!("{usage}\n    {what}"));
            Ok(())
        }
        None if asks(command) || command == "help" => {
            progress::print(all());
            Ok(())
        }
        _ if command == "test" => return test::run(arguments),
        _ => run(command, arguments),
    };
    if let Err(error) = &done {
        // What a program said before it failed comes first: the last line is the one that says what is wrong.
        let text = format!("{error:#}");
        let (what, details) = text.split_once('\n').unwrap_or((&text, ""));
        if !details.is_empty() {
            progress::say(details);
        }
        progress::say(format!("error: {what}"));
    }
    progress::flush(Duration::from_secs(2));
    if done.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn run(command: &str, arguments: &[String]) -> Result<()> {
    match command {
        "up" => up::run(arguments),
        "chaos" => chaos::run(arguments),
        "bench" => bench::run(arguments),
        "images" => images::run(arguments),
        "fuzz" => fuzz::run(arguments),
        "demo" => demo::run(arguments),
        "publish" => publish::run(arguments),
        "key" => key::run(arguments),
        "replay" | "resume" | "import" | "erase" | "export" | "doctor" => operator::run(command, arguments),
        "openapi" => openapi::run(arguments),
        _ => bail!("the word after `cargo xtask` must be one of those above\n{}", all()),
    }
}

/// Every command, a line each.
fn all() -> String {
    COMMANDS.map(|(name, _, what)| format!("    cargo xtask {name:<9} {what}")).join("\n")
}
