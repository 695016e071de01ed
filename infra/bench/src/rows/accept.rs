//! What it costs to accept a batch, and how many round trips to the database that and a part take.
use std::collections::HashMap;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use talkback::config::Settings;
use talkback::relay::Relay;
use talkback::relay::dispatch::Budget;

use crate::bench::{Bench, ROUNDS};
use crate::figure::{Figure, Target, median};
use crate::station::{OFF, Plan, environment, events};
use crate::turns::Turns;

/// Times and round trips of batches of 100 and 10,000; round trips of a part. The library does in this process what the
/// consumer does, so that accepting can be told from posting; what it accepts is posted between the rounds by nobody.
pub(crate) async fn rows(bench: &Bench) -> Result<Vec<Figure>> {
    let mut figures = Vec::new();
    let full = !bench.quick;
    let large = bench.size(10_000, 1_000);
    bench.database("accept").await?;
    let near = relay(bench, "accept", bench.postgres.port())?;
    near.wake().await?;
    let turns = Turns::before(bench.postgres.port()).await?;
    let far = relay(bench, "accept", turns.port())?;
    for size in [100, large] {
        let mut took = Vec::new();
        for round in 0..=ROUNDS {
            let start = Instant::now();
            accept(&near, size).await?;
            if round > 0 {
                took.push(start.elapsed().as_secs_f64() * 1e3);
            }
        }
        // The first prepares the statement.
        accept(&far, size).await?;
        let before = turns.count();
        accept(&far, size).await?;
        let trips = (turns.count() - before) as f64;
        figures.push(Figure::new(&format!("accept a batch of {size}"), "ms", median(&took), Target::None, full));
        let figure = format!("round trips to accept a batch of {size}");
        figures.push(Figure::new(&figure, "round trips", trips, Target::AtMost(2.0), full));
    }
    figures.push(parts(bench, &turns).await?);
    Ok(figures)
}

/// Round trips of a part: a full room is drained through the proxy, and what a dispatch costs without work is taken off.
async fn parts(bench: &Bench, turns: &Turns) -> Result<Figure> {
    let messages = bench.size(200, 50);
    bench.database("parts").await?;
    let far = relay(bench, "parts", turns.port())?;
    far.wake().await?;
    // One connection is made and has its statements prepared by the first.
    for warm in [20, messages] {
        accept(&far, warm).await?;
        let before = (turns.count(), bench.chat.post_count());
        let budget = Budget::door(Duration::from_secs(120), None, far.room_names());
        far.dispatch(&budget).await?;
        let posts = bench.chat.post_count() - before.1;
        if posts != warm {
            bail!("{posts} posts instead of {warm}");
        }
        if warm == messages {
            let trips = (turns.count() - before.0) as f64;
            let empty = turns.count();
            far.dispatch(&Budget::door(Duration::from_secs(5), None, far.room_names())).await?;
            let idle = (turns.count() - empty) as f64;
            let each = (trips - idle) / messages as f64;
            let target = Target::AtMost(1.0);
            return Ok(Figure::new("round trips of a part", "round trips", each, target, !bench.quick));
        }
    }
    bail!("nothing was counted")
}

/// A relay of this process, whose database is behind that port.
fn relay(bench: &Bench, database: &str, port: u16) -> Result<Relay> {
    let mut vars: HashMap<String, String> =
        environment(bench, &Plan { database, rooms: 1, pace: OFF, amqp_url: None })?.into_iter().collect();
    let (real, near) = (format!(":{}/", bench.postgres.port()), format!(":{port}/"));
    let url = vars.get_mut("DATABASE_URL").context("no DATABASE_URL")?;
    *url = url.replace(&real, &near);
    Ok(Relay::new(Settings::from_vars(&vars)?, "rabbitmq-consumer")?)
}

/// Accepts a batch of new messages, as the consumer does with an event.
async fn accept(relay: &Relay, messages: usize) -> Result<()> {
    let event = events(messages, 1, messages).pop().context("no event")?;
    let batch = talkback::amqp_event::read_event(&serde_json::from_slice(&event)?)?;
    let received = relay.receive(batch, jiff::Timestamp::now(), None).await?;
    if received.counts.outcomes.len() != messages {
        bail!("{} messages instead of {messages}", received.counts.outcomes.len());
    }
    Ok(())
}
