//! `!ping`: whether the relay is listening.
use super::Command;

/// `!ping`
pub const COMMAND: Command = Command { name: "ping", usage: "!ping", purpose: "whether I am listening", run };

fn run(_: &[&str]) -> String {
    "pong".to_owned()
}
