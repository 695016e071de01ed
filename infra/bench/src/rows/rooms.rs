//! What a message costs where there is one room, and where there are a hundred: processor time of the functions and of
//! the database, for the time that it takes is shorter where rooms can be served side by side.
use anyhow::{Context as _, Result};
use xtask::pids;

use crate::bench::{Bench, ROUNDS};
use crate::figure::{Figure, Target, median};
use crate::machine::processor_time;
use crate::station::{BATCH, OFF, Plan, Station, events};

/// The row.
pub(crate) async fn row(bench: &mut Bench) -> Result<Figure> {
    let messages = bench.size(2000, 300);
    let postgres = bench.postgres.pid().context("the database has ended")?;
    let mut stations = Vec::new();
    for rooms in [1, 100] {
        let database = format!("cost_{rooms}");
        bench.database(&database).await?;
        let station = Station::start(bench, Plan { database: &database, rooms, pace: OFF, amqp_url: None }).await?;
        station.relay(bench, events(BATCH, rooms, BATCH), BATCH).await?;
        stations.push((rooms, station, Vec::new()));
    }
    for _ in 0..ROUNDS {
        for (rooms, station, costs) in &mut stations {
            let spent = || {
                let mut pids = pids::family(postgres);
                pids.extend([station.consumer.pid(), station.dispatcher.pid()]);
                processor_time(&pids)
            };
            let before = spent();
            station.relay(bench, events(messages, *rooms, BATCH), messages).await?;
            costs.push((spent() - before) * 1e3 / messages as f64);
        }
    }
    let [one, hundred] = [&stations[0].2, &stations[1].2].map(|costs| median(costs));
    let (figure, peer) = ("processor time of a message, 100 rooms", ("1 room", one));
    Ok(Figure::beside(figure, "ms", hundred, peer, Target::AtMostTimes(1.2), !bench.quick))
}
