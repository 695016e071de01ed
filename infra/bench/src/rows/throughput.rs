//! Messages a second from the queue, beside Apprise and beside the floor: one room, and sixteen.
use anyhow::Result;

use crate::apprise::Apprise;
use crate::bench::{Bench, ROUNDS};
use crate::figure::{Figure, Target, median};
use crate::floor::Floor;
use crate::station::{BATCH, OFF, Plan, Station, events};

/// Two peers in one room, one in sixteen. The rounds of all are interleaved, so that what else the machine does meets
/// all of them.
pub(crate) async fn rows(bench: &Bench, apprise: &mut Apprise) -> Result<Vec<Figure>> {
    let mut figures = Vec::new();
    let name = format!("Apprise {}", apprise.version);
    let full = !bench.quick;
    for (rooms, times, messages) in [(1, 2.0, bench.size(2000, 200)), (16, 4.0, bench.size(4000, 320))] {
        let database = format!("rooms_{rooms}");
        bench.database(&database).await?;
        let station = Station::start(bench, Plan { database: &database, rooms, pace: OFF, amqp_url: None }).await?;
        let floor = Floor::new(bench, &database).await?;
        // Caches, connections, the interpreter: what a service that has run for a while has.
        station.relay(bench, events(BATCH, rooms, BATCH), BATCH).await?;
        apprise.run(rooms, rooms * 4).await?;
        floor.run(20).await?;
        let (mut ours, mut theirs, mut bare) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            ours.push(messages as f64 / station.relay(bench, events(messages, rooms, BATCH), messages).await?);
            theirs.push(messages as f64 / apprise.run(rooms, messages).await?);
            if rooms == 1 {
                bare.push(messages as f64 / floor.run(messages).await?);
            }
        }
        let (ours, theirs) = (median(&ours), median(&theirs));
        let figure = match rooms {
            1 => "messages/s, one room, from the queue, fully recorded".to_owned(),
            _ => format!("messages/s, {rooms} rooms, from the queue, fully recorded"),
        };
        let unit = "messages/s";
        figures.push(Figure::beside(&figure, unit, ours, (&name, theirs), Target::AtLeastTimes(times), full));
        if rooms == 1 {
            let peer = ("bare loop: insert, post, update", median(&bare));
            figures.push(Figure::beside(&figure, unit, ours, peer, Target::AtLeastTimes(0.8), full));
        }
    }
    Ok(figures)
}
