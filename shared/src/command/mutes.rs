//! `!mutes`: which sources are muted.
use super::words::moment;
use super::{Asked, Command, Grade, Running, Said};
use crate::store::StoreError;

/// `!mutes`
pub const COMMAND: Command = Command {
    name: "mutes",
    usage: "!mutes",
    purpose: "which sources are muted, until when, and how many messages are held",
    grade: Grade::Look,
    publishes: false,
    run,
};

fn run<'a>(asked: &'a Asked<'a>) -> Running<'a> {
    Box::pin(answer(asked))
}

async fn answer(asked: &Asked<'_>) -> Result<Said, StoreError> {
    let mutes = asked.turn.mutes().await?;
    if mutes.is_empty() {
        return Ok(Said::none("Nothing is muted."));
    }
    let zone = &asked.relay.settings.zone;
    let lines = mutes.iter().map(|mute| {
        let until = mute.until.map_or_else(String::new, |until| format!(" until {}", moment(until, zone)));
        format!("{}{until}, {} held", mute.pattern, mute.held)
    });
    Ok(Said::done(lines.collect::<Vec<_>>().join("\n")))
}
