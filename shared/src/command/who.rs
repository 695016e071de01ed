//! `!who`: who sent that message, as far as is known.
use super::ban::meant;
use super::words::{count, masked, moment};
use super::{Asked, Command, Grade, Running, Said};
use crate::store::StoreError;

/// `!who <uid>`
pub const COMMAND: Command = Command {
    name: "who",
    usage: "!who <uid>",
    purpose: "who sent that message: name if known, masked number, place, first and last message",
    grade: Grade::Look,
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
    let Some((hash, sealed)) = asked.turn.sender(&message.uid).await? else {
        return Ok(Said::done(format!(
            "{} came from {}, and names no sender.{note}",
            message.short_uid, message.source
        )));
    };
    let sender = sealed.and_then(|sealed| asked.relay.open_sender(&message.uid, &sealed));
    let who = match &sender {
        None => "somebody who was erased".to_owned(),
        Some(sender) => {
            let name = sender.name.as_ref().map_or_else(String::new, |name| format!("{name}, "));
            let place = sender.place.as_deref().map_or_else(String::new, |place| format!(", {}", town(place)));
            format!("{name}{}{place}", masked(&sender.address))
        }
    };
    let seen = asked.turn.seen(&hash).await?;
    let zone = &asked.relay.settings.zone;
    let shown = |at: Option<jiff::Timestamp>| at.map_or_else(String::new, |at| moment(at, zone));
    let banned = if asked.turn.is_banned(&hash).await? { "\nBanned." } else { "" };
    Ok(Said::done(format!(
        "{}: {who}\n{}, first {}, last {}{banned}{note}",
        message.short_uid,
        count(seen.messages, "message"),
        shown(seen.first),
        shown(seen.last)
    )))
}

/// City and state of a place, without codes and country.
fn town(place: &str) -> String {
    let words = place.split(", ").filter(|word| !word.bytes().any(|b| b.is_ascii_digit()));
    words.take(2).collect::<Vec<_>>().join(", ")
}
