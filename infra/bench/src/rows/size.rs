//! What a function takes before it works and while it does: the time until it asks for its first event, memory, size.
use anyhow::Result;

use crate::bench::{Bench, ROUNDS};
use crate::figure::{Figure, Target, median};
use crate::function::time_to_first_poll;
use crate::machine::resident;
use crate::station::{BATCH, OFF, Plan, Station, environment, events};

/// The functions of a deployment.
const FUNCTIONS: [&str; 5] = ["send", "groupme-callback", "rabbitmq-consumer", "dispatcher", "migrate"];

/// The consumer's start beside a function that says hello.
pub(crate) async fn start(bench: &Bench) -> Result<Figure> {
    let plan = Plan { database: "talkback", rooms: 1, pace: OFF, amqp_url: None };
    let (environment, nothing) = (environment(bench, &plan)?, std::collections::BTreeMap::new());
    let (ours, hello) = (bench.program("rabbitmq-consumer")?, bench.program("hello")?);
    let (mut taken, mut hellos) = (Vec::new(), Vec::new());
    for round in 0..=bench.size(ROUNDS * 4, ROUNDS) {
        let took = time_to_first_poll("rabbitmq-consumer", &ours, &environment).await?;
        let said = time_to_first_poll("hello", &hello, &nothing).await?;
        // The first has read the files from the disk.
        if round > 0 {
            taken.push(took);
            hellos.push(said);
        }
    }
    let peer = ("hello-world of the same crates", median(&hellos));
    let figure = "process start to first poll of the Runtime API (rabbitmq-consumer)";
    Ok(Figure::beside(figure, "ms", median(&taken), peer, Target::AtMostTimes(1.5), !bench.quick))
}

/// The larger of the consumer and the dispatcher, after so many messages.
pub(crate) async fn memory(bench: &Bench) -> Result<Figure> {
    let messages = bench.size(10_000, 1_000);
    bench.database("memory").await?;
    let station = Station::start(bench, Plan { database: "memory", rooms: 1, pace: OFF, amqp_url: None }).await?;
    station.relay(bench, events(messages, 1, BATCH), messages).await?;
    let resident = resident(station.consumer.pid())?.max(resident(station.dispatcher.pid())?);
    let figure = format!("resident memory after {messages} messages (the larger of consumer and dispatcher)");
    Ok(Figure::new(&figure, "MB", resident, Target::AtMost(25.0), !bench.quick))
}

/// The largest of all functions' binaries.
pub(crate) fn binary(bench: &Bench) -> Result<Figure> {
    let mut largest = (0, "");
    for name in FUNCTIONS {
        largest = largest.max((bench.program(name)?.metadata()?.len(), name));
    }
    let figure = format!("static binary (the largest: {})", largest.1);
    Ok(Figure::new(&figure, "MB", largest.0 as f64 / 1e6, Target::AtMost(8.0), true))
}
