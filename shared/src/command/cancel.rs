//! `!cancel`: what waits is not posted.
use super::ban::{IN_THE_AIR, meant};
use super::{Asked, Command, Grade, Running, Said};
use crate::store::StoreError;

/// `!cancel <uid>`
pub const COMMAND: Command = Command {
    name: "cancel",
    usage: "!cancel <uid>",
    purpose: "withdraws that message, as far as it is not posted",
    grade: Grade::Act,
    publishes: false,
    run,
};

fn run<'a>(asked: &'a Asked<'a>) -> Running<'a> {
    Box::pin(answer(asked))
}

async fn answer(asked: &Asked<'_>) -> Result<Said, StoreError> {
    let [uid] = asked.words else { return Ok(Said::usage(&COMMAND)) };
    let (message, note) = match meant(asked, uid).await? {
        Ok(meant) => meant,
        Err(said) => return Ok(said),
    };
    let (author, short) = (&asked.author.name, &message.short_uid);
    let cancelled = asked.turn.cancel(&message.uid).await?;
    if cancelled.deliveries == 0 {
        return Ok(Said::none(format!("Nothing of {short} waits to be posted.{note}")));
    }
    let air = if cancelled.in_the_air { IN_THE_AIR } else { "" };
    Ok(Said::done(match cancelled.begun {
        false => format!("{author} withdrew {short}.{air}{note}"),
        true => format!("{author} withdrew the rest of {short}; some of it is posted.{air}{note}"),
    }))
}
