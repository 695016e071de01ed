//! `!status`: how the relay stands.
use std::time::Duration;

use tokio::time::timeout;

use super::words::moment;
use super::{Asked, Command, Grade, Running, Said};
use crate::broker::QUEUE;
use crate::relay::spoken;
use crate::store::StoreError;

/// `!status`
pub const COMMAND: Command = Command {
    name: "status",
    usage: "!status",
    purpose: "rooms: what is queued and since when, what is paused and why; database, broker, version",
    grade: Grade::Look,
    publishes: false,
    run,
};

fn run<'a>(asked: &'a Asked<'a>) -> Running<'a> {
    Box::pin(answer(asked))
}

async fn answer(asked: &Asked<'_>) -> Result<Said, StoreError> {
    let relay = asked.relay;
    let rooms = relay.store.room_states(&relay.room_names()).await?;
    let zone = &relay.settings.zone;
    let mut lines: Vec<String> = Vec::new();
    for room in rooms {
        let mut line = format!("{}: {}, {} queued", room.name, room.state, room.queued);
        if let Some(oldest) = room.oldest_s {
            line += &format!(", oldest {}", spoken(Duration::try_from_secs_f64(oldest.max(0.0)).unwrap_or_default()));
        }
        if let Some(reason) = room.reason {
            let until = room.paused_until.map_or_else(String::new, |until| format!(" until {}", moment(until, zone)));
            line += &format!(", waits{until}: {reason}");
        }
        if room.trouble > 0 {
            line += &format!(", {} in trouble (!failed)", room.trouble);
        }
        lines.push(line);
    }
    let broker = match &relay.broker {
        None => "none".to_owned(),
        Some(broker) => match timeout(asked.patience, broker.depth(QUEUE)).await {
            Ok(Ok(depth)) => format!("well, {depth} waiting"),
            Ok(Err(_)) => "away".to_owned(),
            Err(_) => "silent".to_owned(),
        },
    };
    lines.push(format!("database: well · broker: {broker} · version {}", env!("CARGO_PKG_VERSION")));
    Ok(Said::done(lines.join("\n")))
}
