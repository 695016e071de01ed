//! SIGSTOP for longer than a lease, then SIGCONT: whoever wakes up must notice that the world went on.
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::chance::Chance;
use super::traffic::Message;
use super::works::{Setup, Works};
use crate::attack::{Tally, attack};

const MESSAGES: usize = 160;
const FREEZING: Duration = Duration::from_secs(9);

/// Milliseconds; one and a half to three of them a process is frozen.
const LEASE: u64 = 1000;

const LANES: &str = "lease = \"1s\"\nhttp = \"500ms\"\nmargin = \"150ms\"\nstatement_timeout = \"800ms\"";

/// A function at work spends about half of its time in calls: some of what is frozen is in one.
const ANSWER: Duration = Duration::from_millis(60);

/// A frozen accept holds its place in the order until the database ends its session.
const OVERLAP: Duration = Duration::from_secs(2);

/// Freezes one process now and then, and counts how often.
async fn freeze(works: &Works, function: &str, which: u64, seed: u64) -> usize {
    let mut chance = Chance::of(seed);
    let begun = Instant::now();
    let mut freezes = 0;
    // On a machine that is busy with other things few calls are under way: then it goes on until one was hit.
    let enough = || begun.elapsed() > FREEZING && (works.late() > 0 || begun.elapsed() > 2 * FREEZING);
    while !enough() {
        // The moments are what the story is about: no condition is waited for.
        sleep(Duration::from_millis(chance.within(100..700))).await;
        freezes += usize::from(works.functions.freeze(function, which));
        sleep(Duration::from_millis(chance.within(LEASE * 3 / 2..LEASE * 3))).await;
        works.functions.thaw(function, which);
    }
    freezes
}

async fn round(seed: u64) -> Tally {
    let setup = Setup { story: "freeze", lanes: LANES, slow: ANSWER, dispatchers: 2, batch: 25, ..Setup::default() };
    let works = Arc::new(Works::start(setup).await);
    let mut chance = Chance::of(seed);
    let said: Vec<Message> = (0..MESSAGES).map(|number| Message::short(number, works.rooms, &mut chance)).collect();
    let senders = works.say(&said, FREEZING);
    let (one, other, consumer, send) = tokio::join!(
        freeze(&works, "dispatcher", 0, seed + 1),
        freeze(&works, "dispatcher", 1, seed + 2),
        freeze(&works, "rabbitmq-consumer", 0, seed + 3),
        freeze(&works, "send", 0, seed + 4),
    );
    senders.join_all().await;
    let freezes = one + other + consumer + send;
    let mut tally = works.reckon(&said, OVERLAP).await.tally(&format!("{freezes} freezes"), &works);
    if freezes <= 8 {
        tally.others.push(format!("only {freezes} freezes"));
    }
    Arc::into_inner(works).unwrap().end().await;
    tally
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_function_frozen_past_its_lease_posts_nothing_twice() {
    attack("freeze", &[4], round).await;
}
