//! `kill -9` of any function at any moment, while messages flow.
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::chance::Chance;
use super::traffic::Message;
use super::works::{Setup, Works};
use crate::attack::{Tally, attack};

/// Messages of one story, said over the time of the kills.
const MESSAGES: usize = 90;

/// An accept beside others may take so long.
const OVERLAP: Duration = Duration::from_secs(1);

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

/// One round.
async fn round(seed: u64, setup: Setup) -> Tally {
    let works = Arc::new(Works::start(setup).await);
    let mut chance = Chance::of(seed);
    let message = |number| {
        let message = Message::new(number, works.rooms, &mut chance);
        if works.readable && number % 6 == 0 { message.with_picture(works.gallery.url("a.gif")) } else { message }
    };
    let said: Vec<Message> = (0..MESSAGES).map(message).collect();
    let begun = Instant::now();
    let senders = works.say(&said, KILLING);
    let mut kills = 0;
    // On a machine that is busy with other things few calls are under way: then it goes on until one was hit.
    let enough = |works: &Works| begun.elapsed() > KILLING && (works.cut_off() > 0 || begun.elapsed() > 2 * KILLING);
    while !enough(&works) {
        // The moments are what the story is about: no condition is waited for.
        sleep(Duration::from_millis(chance.within(100..400))).await;
        kills += usize::from(works.functions.kill(chance.one_of(&VICTIMS), chance.within(0..4)));
    }
    senders.join_all().await;
    let mut tally = works.reckon(&said, OVERLAP).await.tally(&format!("{kills} kills"), &works);
    if kills <= 15 {
        tally.others.push(format!("only {kills} kills"));
    }
    if works.readable {
        // A picture may miss its time, and is said then.
        let pictures = works.column("select (count(url) || ' ' || count(*)) from pictures").await;
        if pictures[0].starts_with("0 ") {
            tally.others.push(format!("no picture was brought: {pictures:?}"));
        }
    }
    Arc::into_inner(works).unwrap().end().await;
    tally
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killing_any_function_at_random_moments_loses_and_doubles_nothing() {
    attack("kill", &[1], async |seed| round(seed, Setup { story: "kill", ..Setup::default() }).await).await;
}

/// A quick chat: most kills strike in what is done between two calls.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killing_any_function_between_calls_loses_and_doubles_nothing() {
    let slow = Duration::from_millis(10);
    attack("kill-quick", &[2], async |seed| round(seed, Setup { story: "kill-quick", slow, ..Setup::default() }).await)
        .await;
}

/// No member's token, so only callbacks tell what became of a cut-off call. The chat gives a callback up after 3 s and
/// tries once more: the window is longer than that, as with the usual times.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_only_callbacks_tell_killing_loses_and_doubles_nothing() {
    let setup = || Setup { story: "kill-callbacks", readable: false, lanes: "window = \"12s\"", ..Setup::default() };
    attack("kill-callbacks", &[3], async |seed| round(seed, setup()).await).await;
}
