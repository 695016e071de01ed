//! Ten thousand messages wait in one room; then comes an alarm: it is next after the message that is being said.
use std::sync::Arc;
use std::time::Duration;

use groupme_sim::{Fault, Post, What};
use lapin::BasicProperties;
use serde_json::{Value, json};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

use crate::attack::{Tally, attack};
use crate::payloads::wire::{Wire, example};
use crate::process::chance::Chance;
use crate::station::{PATIENCE, Station, connect};

const WAITING: usize = 10_000;

/// At once with the dispatcher, so that each is stored in one statement in its time.
const BATCH: usize = 500;

/// The chat takes so long for each answer: most alarms come while a call is in flight.
const ANSWER: Duration = Duration::from_millis(80);

const ALARMS: usize = 6;

/// When a message could be seen in the database, by the clock that the simulator has.
async fn stored(url: String, uid: String) -> Instant {
    let db = connect(&url).await;
    let mut look = interval(Duration::from_millis(1));
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let end = Instant::now() + PATIENCE;
    loop {
        look.tick().await;
        if !db.query("select from messages where uid = $1", &[&uid]).await.unwrap().is_empty() {
            return Instant::now();
        }
        assert!(Instant::now() < end, "the alarm {uid} was never stored");
    }
}

/// Which message a post belongs to.
fn message_of(post: &Post) -> Option<String> {
    post.text.as_deref()?.rsplit_once("---UID---\n").map(|(_, footer)| footer.to_owned())
}

async fn round(seed: u64) -> Tally {
    let wire = Arc::new(Wire::open(example()).await);
    let station = &wire.station;
    station.sim.fault(Fault::always(What::Slow(ANSWER)));
    let mut chance = Chance::of(seed);
    let normal = |number: usize, chance: &mut Chance| {
        let body = json!({ "body": format!("entry {number:05}"), "wbor_message_id": chance.uuid() });
        Station::message("source.standard", &body)
    };
    for batch in 0..WAITING / BATCH {
        let messages: Vec<Value> = (0..BATCH).map(|at| normal(batch * BATCH + at, &mut chance)).collect();
        station.take_in(&messages).await;
    }

    let mut tally = Tally { messages: WAITING + ALARMS, ..Tally::default() };
    for number in 0..ALARMS {
        // The moments are what the story is about: no condition is waited for.
        sleep(Duration::from_millis(chance.within(20..400))).await;
        let uid = chance.uuid();
        let word = format!("alarm {number}");
        let body = json!({ "body": word, "wbor_message_id": uid, "priority": "urgent" }).to_string();
        let seeing = tokio::spawn(stored(station.database_url.clone(), uid.clone()));
        wire.publish("source_exchange", "source.standard", body.as_bytes(), BasicProperties::default()).await;
        let stored = seeing.await.unwrap().into_std();
        let is_alarm = |post: &Post| post.text.as_deref().is_some_and(|text| text.contains(&word));
        let posts = station.sim.wait_for_posts(|posts| posts.iter().any(is_alarm), PATIENCE).await;
        let Ok(posts) = posts else {
            tally.lost += 1;
            continue;
        };
        let alarm = posts.iter().position(is_alarm).unwrap();
        tally.hits += usize::from(posts.iter().any(|post| post.at <= stored && stored < post.at + ANSWER));
        // What was claimed before it was stored may still come: the one message that was being said.
        let mut between: Vec<_> = posts[..alarm].iter().filter(|post| post.at > stored).map(message_of).collect();
        between.dedup();
        if between.len() > 1 {
            tally.disordered += 1;
            tally.told += &format!("{} messages between {word} and its turn; ", between.len());
        }
        tally.doubled += posts.iter().filter(|post| is_alarm(post)).count() - 1;
    }

    // Nobody waits for ten thousand calls: what is not posted is stored, and what is posted is in order.
    let stored =
        wire.column("select count(*)::text from deliveries where state in ('queued', 'sending', 'sent', 'confirmed')");
    tally.lost += (WAITING + ALARMS).abs_diff(stored.await[0].parse().unwrap());
    let said = station.said();
    let entries: Vec<&String> = said.iter().filter(|text| text.starts_with("entry")).collect();
    tally.disordered += entries.windows(2).filter(|pair| pair[0] > pair[1]).count();
    tally.doubled += entries.windows(2).filter(|pair| pair[0] == pair[1]).count();
    tally.told +=
        &format!("{} of {WAITING} were said, {} alarms came while a call was in flight", entries.len(), tally.hits);
    Arc::into_inner(wire).unwrap().end().await;
    tally
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_alarm_is_next_after_the_current_message_though_ten_thousand_wait() {
    attack("flood", &[12], round).await;
}
