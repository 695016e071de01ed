//! `cargo xtask …`: everything that is done with this project by hand.

use std::{process::ExitCode, time::Duration};

use anyhow::{Result, bail};
use xtask::{demo, key, openapi, progress, publish, test, up};

const USAGE: &str = "    cargo xtask up        the whole relay on this machine
    cargo xtask test      everything that is checked, on servers of its own
    cargo xtask demo      one of everything that can arrive, sent to what `up` runs
    cargo xtask publish   publishes a message to the broker of what `up` runs
    cargo xtask key       makes a key for POST /send and POST /v3/bots/post
    cargo xtask openapi   makes infra/openapi.yaml anew from the types";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (command, arguments) = match arguments.split_first() {
        Some((command, arguments)) => (command.as_str(), arguments),
        None => ("", &[][..]),
    };
    if command == "test" {
        return test::run(arguments);
    }
    let done = run(command, arguments);
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
        "demo" => demo::run(arguments),
        "publish" => publish::run(arguments),
        "key" => key::run(arguments),
        "openapi" => openapi::run(arguments),
        _ => bail!("the word after `cargo xtask` must be one of those above\n{USAGE}"),
    }
}
