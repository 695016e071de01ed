//! The same batch two to five times, also to two consumers at once; the same request at once; equal messages that have
//! no uid. Each is one post per part.
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use talkback::broker::Props;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::chance::Chance;
use super::emulator::Invoker;
use super::traffic::{Door, Message};
use super::works::{PATIENCE, Setup, Works, group, room};
use crate::attack::{Tally, attack};
use crate::station::Station;

const BATCHES: usize = 14;
const EACH: usize = 6;

/// An accept beside others may take so long.
const OVERLAP: Duration = Duration::from_secs(1);

/// Batches begin within this.
const TIME: Duration = Duration::from_secs(5);

/// Equal bodies without a uid, all in one batch and of one second.
struct Equal {
    body: String,
    room: usize,
    times: usize,
}

/// From when to when an invocation lasted.
type Span = (Instant, Instant);

/// Brings one batch so often, almost at once, each time until it is taken.
async fn bring(invoker: Invoker, event: Value, copies: u64, mut chance: Chance) -> usize {
    let mut all = JoinSet::new();
    for _ in 0..copies {
        let (invoker, event) = (invoker.clone(), event.clone());
        let pause = Duration::from_millis(chance.within(0..150));
        all.spawn(async move {
            sleep(pause).await;
            let begun = Instant::now();
            let answer = invoker.invoke("rabbitmq-consumer", &event, PATIENCE).await;
            assert_eq!(answer.map(|(status, _)| status), Some(200));
            (begun, Instant::now())
        });
    }
    let spans: Vec<Span> = all.join_all().await;
    // One that began while another of the same batch was under way.
    let met = |at: usize| {
        let (begun, _) = spans[at];
        spans.iter().enumerate().any(|(other, span)| other != at && span.0 <= begun && begun < span.1)
    };
    (0..spans.len()).filter(|&at| met(at)).count()
}

async fn round(seed: u64) -> Tally {
    let slow = Duration::from_millis(20);
    let works = Arc::new(Works::start(Setup { story: "repeat", consumers: 2, slow, ..Setup::default() }).await);
    let mut chance = Chance::of(seed);
    let said: Vec<Message> = (0..BATCHES * EACH).map(|number| Message::new(number, works.rooms, &mut chance)).collect();
    let mut equals = Vec::new();
    let mut work: JoinSet<usize> = JoinSet::new();
    for (number, messages) in said.chunks(EACH).enumerate() {
        let queued = messages.iter().filter(|message| message.door == Door::Queue);
        let mut batch: Vec<Value> =
            queued.map(|message| Station::message("source.standard", &message.body())).collect();
        let equal = Equal {
            body: format!("equal{number:02}"),
            room: usize::try_from(chance.within(0..works.rooms as u64)).unwrap(),
            times: usize::try_from(chance.within(1..4)).unwrap(),
        };
        let one = Station::message("source.standard", &json!({ "body": equal.body, "rooms": [room(equal.room)] }));
        for _ in 0..equal.times {
            let at = usize::try_from(chance.within(0..batch.len() as u64 + 1)).unwrap();
            batch.insert(at, one.clone());
        }
        equals.push(equal);
        let (invoker, event) = (works.emulator.invoker(), Station::batch(&batch));
        let (copies, own) = (chance.within(2..6), Chance::of(chance.within(0..u64::MAX)));
        let due = Duration::from_millis(chance.within(0..u64::try_from(TIME.as_millis()).unwrap()));
        work.spawn(async move {
            sleep(due).await;
            bring(invoker, event, copies, own).await
        });
        // A producer repeats itself, too: over the queue, and over HTTP.
        for message in messages {
            for _ in 0..chance.within(1..4) {
                let (works, message) = (Arc::clone(&works), message.clone());
                work.spawn(async move {
                    sleep(due).await;
                    match message.door {
                        Door::Http => message.send(&works).await,
                        Door::Queue => works.publish("source.standard", &message.body(), &Props::default()).await,
                    }
                    0
                });
            }
        }
    }
    let met: usize = work.join_all().await.into_iter().sum();
    let did = format!("{met} invocations met another with the same batch");
    let mut tally = works.reckon(&said, OVERLAP).await.tally(&did, &works);
    tally.hits = met;
    for Equal { body, room, times } in equals {
        let lines = works.sim.lines(&group(room));
        let shown = lines.iter().filter(|line| line.text.as_deref().is_some_and(|text| text.contains(&body))).count();
        tally.messages += times;
        tally.lost += times.saturating_sub(shown);
        tally.doubled += shown.saturating_sub(times);
    }
    Arc::into_inner(works).unwrap().end().await;
    tally
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_batch_again_and_to_two_consumers_at_once_is_one_post_per_part() {
    attack("repeat", &[7], round).await;
}
