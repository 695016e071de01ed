//! `kill -9` of any function at any moment, while messages flow.
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

use super::chance::Chance;
use super::reckoning::Reckoning;
use super::traffic::Message;
use super::works::{Setup, Works};
use std::sync::Arc;

/// Messages of one story, said over the time of the kills.
const MESSAGES: usize = 80;

/// How long it is killed.
const KILLING: Duration = Duration::from_secs(8);

/// Who is killed, as often as it stands here.
const VICTIMS: [&str; 10] = [
    "dispatcher",
    "dispatcher",
    "dispatcher",
    "dispatcher",
    "rabbitmq-consumer",
    "rabbitmq-consumer",
    "rabbitmq-consumer",
    "send",
    "send",
    "groupme-callback",
];

async fn story(seed: u64, setup: Setup) -> (Reckoning, usize) {
    let works = Arc::new(Works::start(setup).await);
    let mut chance = Chance::of(seed);
    let said: Vec<Message> = (0..MESSAGES).map(|number| Message::new(number, works.rooms, &mut chance)).collect();
    let begun = Instant::now();
    let mut senders = JoinSet::new();
    for (message, number) in said.iter().cloned().zip(0_u32..) {
        let works = Arc::clone(&works);
        let due = begun + KILLING * number / u32::try_from(MESSAGES).unwrap();
        senders.spawn(async move {
            sleep_until(due).await;
            message.send(&works).await;
        });
    }
    let mut kills = 0;
    while begun.elapsed() < KILLING {
        // The moments are what the story is about: no condition is waited for.
        sleep(Duration::from_millis(chance.within(100..400))).await;
        kills += usize::from(works.functions.kill(chance.one_of(&VICTIMS), chance.within(0..2)));
    }
    while let Some(sent) = senders.join_next().await {
        sent.unwrap();
    }
    let reckoning = works.reckon(&said, Duration::from_secs(1)).await;
    println!("seed {seed}: {kills} kills, {}", reckoning.told());
    assert!(reckoning.is_clean(), "seed {seed}, logs in {}: {}", works.folder.display(), reckoning.told());
    assert!(kills > 10 && reckoning.cut_off > 0, "seed {seed}: a toy: {kills} kills, {} hits", reckoning.cut_off);
    Arc::into_inner(works).unwrap().end().await;
    (reckoning, kills)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killing_any_function_at_random_moments_loses_and_doubles_nothing() {
    story(1, Setup { story: "kills-1", ..Setup::default() }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killing_any_function_at_other_moments_loses_and_doubles_nothing() {
    story(2, Setup { story: "kills-2", ..Setup::default() }).await;
}

/// No member's token, so only callbacks tell what became of a cut-off call. The chat gives a callback up after 3 s and
/// tries once more: the window is longer than that, as with the usual times.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_only_callbacks_tell_killing_loses_and_doubles_nothing() {
    let setup = Setup { story: "kills-3", readable: false, lanes: "window = \"9s\"", ..Setup::default() };
    story(3, setup).await;
}
