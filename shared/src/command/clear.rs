//! `!clear`: the studio's dashboard is cleared.
use serde_json::json;

use super::publish::publish;
use super::{Asked, Command, Grade, Running, Said};
use crate::store::StoreError;

/// `!clear`
pub const COMMAND: Command = Command {
    name: "clear",
    usage: "!clear",
    purpose: "clears the studio dashboard",
    grade: Grade::Act,
    publishes: true,
    run,
};

/// What the dashboard listens for.
const KEY: &str = "source.groupme.dashboard.clear";

fn run<'a>(asked: &'a Asked<'a>) -> Running<'a> {
    Box::pin(answer(asked))
}

async fn answer(asked: &Asked<'_>) -> Result<Said, StoreError> {
    if !asked.words.is_empty() {
        return Ok(Said::usage(&COMMAND));
    }
    let body =
        json!({ "source": "talkback", "type": "dashboard.clear", "timestamp": jiff::Timestamp::now().to_string() });
    Ok(match publish(asked, KEY, body.to_string().as_bytes(), "application/json").await {
        Ok(()) => Said::done(format!("{} cleared the dashboard.", asked.author.name)),
        Err(said) => said,
    })
}
