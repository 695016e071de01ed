//! `!unmute`: what was held is posted.
use super::mute::{by, in_full};
use super::{Asked, Command, Grade, Running, Said};
use crate::store::StoreError;

/// `!unmute <pattern>`
pub const COMMAND: Command = Command {
    name: "unmute",
    usage: "!unmute <pattern>",
    purpose: "ends that mute; what was held is posted in its order",
    grade: Grade::Act,
    publishes: false,
    run,
};

fn run<'a>(asked: &'a Asked<'a>) -> Running<'a> {
    Box::pin(answer(asked))
}

async fn answer(asked: &Asked<'_>) -> Result<Said, StoreError> {
    let [pattern] = asked.words else { return Ok(Said::usage(&COMMAND)) };
    // As it was typed then, with or without what `!stats` leaves out.
    let short = pattern.strip_prefix("source.").unwrap_or(pattern);
    for pattern in [pattern, short, &in_full(short)] {
        if let Some(held) = asked.turn.unmute(pattern, &by(asked, pattern, "ended_by_sealed")).await? {
            return Ok(Said::done(format!("{} unmuted {pattern}: {}.", asked.author.name, told(&held))));
        }
    }
    Ok(Said::none("That is not muted. !mutes lists what is."))
}

/// How many of what were held: the sources with the most, and the rest in one number.
pub(crate) fn told(held: &[(String, i64)]) -> String {
    let all: i64 = held.iter().map(|(_, count)| count).sum();
    if all == 0 {
        return "nothing was held".to_owned();
    }
    let mut kinds: Vec<String> = held.iter().take(5).map(|(source, count)| format!("{count} of {source}")).collect();
    let others: i64 = held.iter().skip(5).map(|(_, count)| count).sum();
    if others > 0 {
        kinds.push(format!("{others} of others"));
    }
    format!("{all} held ({})", kinds.join(", "))
}
