//! Two dispatchers, a consumer and ten requests at once, in twenty rooms: a room has one holder at a time, keeps its
//! order, and is never spoken in faster than its pace.
use std::sync::Arc;
use std::time::Duration;

use super::chance::Chance;
use super::traffic::{Door, Message};
use super::works::{Setup, Works};
use crate::attack::{Tally, attack};

const ROOMS: usize = 20;

/// Of these, so many at once over HTTP.
const MESSAGES: usize = 180;
const AT_ONCE: usize = 10;

/// Every other message is for one of so few rooms: there the pace binds.
const BUSY: u64 = 3;

/// How long the chat takes for an answer.
const ANSWER: Duration = Duration::from_millis(15);

const PACE: (&str, Duration) = ("60ms", Duration::from_millis(60));

/// An accept beside others may take so long.
const OVERLAP: Duration = Duration::from_secs(2);

async fn round(seed: u64) -> Tally {
    let setup = Setup {
        story: "crowd",
        rooms: ROOMS,
        slow: ANSWER,
        dispatchers: 2,
        sends: AT_ONCE,
        pace: PACE.0,
        batch: 10,
        ..Setup::default()
    };
    let works = Arc::new(Works::start(setup).await);
    let mut chance = Chance::of(seed);
    let mut said: Vec<Message> = (0..MESSAGES).map(|number| Message::new(number, ROOMS, &mut chance)).collect();
    for (number, message) in said.iter_mut().enumerate() {
        message.door = if (number / AT_ONCE).is_multiple_of(3) { Door::Http } else { Door::Queue };
        if number.is_multiple_of(2) {
            message.room = usize::try_from(chance.within(0..BUSY)).unwrap();
        }
    }
    for tens in said.chunks(AT_ONCE * 3) {
        works.say(tens, Duration::ZERO).join_all().await;
    }
    let mut tally = works.reckon(&said, OVERLAP).await.tally("20 rooms", &works);
    tally.hits = works.crossed().await;
    tally.others.extend(works.too_fast(PACE.1, ANSWER).await);
    Arc::into_inner(works).unwrap().end().await;
    tally
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_a_crowd_each_room_has_one_holder_keeps_its_order_and_is_never_faster_than_its_pace() {
    attack("crowd", &[8], round).await;
}
