//! The window in which a double post cannot be excluded, measured: Talkback begins its first call at every distance from
//! `deliver_by`, and GroupMe shows the line at once but answers late.
use std::sync::Arc;
use std::time::Duration;

use groupme_sim::{Fault, What};
use jiff::Timestamp;
use serde_json::Value;
use talkback::amqp_event::{Record, read_record};
use talkback_producer::{Message, Outcome, Producer, Settings};
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::desk::{Desk, Told, texts, uid_in};
use crate::station::Setup;

const PATIENCE: Duration = Duration::from_secs(2);

/// How long GroupMe takes for an answer.
const ANSWER: Duration = Duration::from_millis(400);

/// How far apart the moments are at which Talkback takes a message in.
const STEP: Duration = Duration::from_millis(100);

/// From so long before `deliver_by` until after it.
const MOMENTS: i32 = 11;
const AFTER: i32 = 2;

fn bot(room: i32) -> String {
    format!("b07e57b07e57b07e57b07e5{room:03}")
}

fn group(room: i32) -> String {
    format!("902{room:03}")
}

/// Who may learn of a call whose answer was cut off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sight {
    /// Nobody: neither callbacks nor a member's token.
    Nobody,
    /// Talkback, by callback, which it tells the producer.
    Callbacks,
    /// The producer, which looks into the room.
    Producer,
}

fn setup(sight: Sight) -> Setup {
    let mut rooms = String::new();
    for room in -AFTER..MOMENTS {
        let name = room + AFTER;
        rooms += &format!(
            "[[rooms]]\nname = \"r{name}\"\nbot_id = \"{}\"\ngroup = \"{}\"\npace = \"5ms\"\n\
             [[routes]]\npattern = \"source.standard.r{name}\"\nrooms = [\"r{name}\"]\n",
            bot(name),
            group(name)
        );
    }
    let bots = (0..MOMENTS + AFTER).map(|room| (bot(room), group(room))).collect();
    Setup { rooms, bots, callbacks: sight == Sight::Callbacks, ..Setup::default() }
}

/// What was seen of one message.
struct Seen {
    /// How long before `deliver_by` Talkback took it in, in steps.
    steps: i32,
    /// How often its line is in the room.
    lines: usize,
    /// When Talkback's call reached GroupMe, in milliseconds before `deliver_by` (negative: after it).
    before_ms: Option<i64>,
    /// How long after `deliver_by` the producer's own call came.
    own_after_ms: Option<i64>,
}

/// By Talkback's reckoning: the producer's word, or the stamp's second and the patience.
fn deliver_by(form: &Value) -> Timestamp {
    let Record::Delivery(delivery) = read_record("talkback", "/", form) else { panic!("an odd record") };
    delivery.deliver_by().unwrap().min(delivery.stamp_time().unwrap().checked_add(PATIENCE).unwrap())
}

async fn sweep(sight: Sight) -> Vec<Seen> {
    let is_blind = sight != Sight::Producer;
    let mut desk = Desk::with(&format!("window-{sight:?}"), setup(sight)).await;
    desk.station.sim.fault(Fault::always(What::Slow(ANSWER)));
    desk.station.start_dispatcher();
    let desk = Arc::new(desk);
    let mut said = JoinSet::new();
    for room in 0..MOMENTS + AFTER {
        let mut vars = desk.vars(Told { is_blind, ..Told::default() });
        vars.insert("GROUPME_BOT_ID".to_owned(), bot(room));
        vars.insert("TALKBACK_SEND_SPOOL".to_owned(), desk.folder.join(room.to_string()).display().to_string());
        if !is_blind {
            vars.insert("GROUPME_GROUP_ID".to_owned(), group(room));
        }
        let producer = Producer::new(Settings { patience: PATIENCE, ..Settings::from_vars(&vars).unwrap() }).unwrap();
        let message = Message::new(&format!("source.standard.r{room}"), &format!("Signal {room} is lost.")).unwrap();
        said.spawn(async move {
            let outcome = producer.send(&message).await;
            producer.close().await;
            (room, message.uid(), outcome)
        });
    }
    let mut taken_in = JoinSet::new();
    for form in desk.take_all(usize::try_from(MOMENTS + AFTER).unwrap()).await {
        let desk = Arc::clone(&desk);
        taken_in.spawn(async move {
            let key = form["basicProperties"]["headers"]["x-death"][0]["routing-keys"][0]["bytes"].clone();
            let key: Vec<u8> = serde_json::from_value(key).unwrap();
            let room: i32 = String::from_utf8(key).unwrap().rsplit_once('r').unwrap().1.parse().unwrap();
            let by = deliver_by(&form);
            let at = by.checked_add(STEP * AFTER.unsigned_abs()).unwrap();
            let at = at.checked_sub(STEP * room.unsigned_abs()).unwrap();
            // The moment is what the story is about: no condition is waited for.
            sleep(Duration::try_from(at.duration_since(Timestamp::now())).unwrap_or_default()).await;
            desk.consume(&desk.station.relay("rabbitmq-consumer"), std::slice::from_ref(&form)).await;
            (uid_in(&form).unwrap(), by)
        });
    }
    let limits: std::collections::HashMap<String, Timestamp> = taken_in.join_all().await.into_iter().collect();
    let mut seen = Vec::new();
    for (room, uid, outcome) in said.join_all().await {
        let text = &texts(uid, &format!("Signal {room} is lost."))[0];
        let posts = desk.station.sim.posts();
        let posts: Vec<_> = posts.iter().filter(|post| post.text.as_ref() == Some(text)).collect();
        let before = |post: &&groupme_sim::Post| {
            let at = Timestamp::now().checked_sub(post.at.elapsed()).unwrap();
            i64::try_from(limits[&uid.to_string()].duration_since(at).as_millis()).unwrap()
        };
        let own = matches!(outcome, Outcome::Posted { .. }).then(|| posts.last()).flatten();
        let talkbacks = posts.first().filter(|_| own.is_none() || posts.len() > 1);
        seen.push(Seen {
            steps: room - AFTER,
            lines: posts.iter().filter(|post| post.shown).count(),
            before_ms: talkbacks.map(before),
            own_after_ms: own.map(|post| -before(post)),
        });
    }
    seen.sort_by_key(|seen| seen.steps);
    Arc::into_inner(desk).unwrap().end().await;
    seen
}

#[expect(clippy::print_stdout, reason = "the figures are what the story is for")]
fn tell(sight: Sight, seen: &[Seen]) {
    println!("who sees it: {sight:?}; GroupMe answers after {ANSWER:?}; patience {PATIENCE:?}");
    for Seen { steps, lines, before_ms, own_after_ms } in seen {
        let ms = |ms: &Option<i64>, when: &str| ms.map_or_else(|| "none".to_owned(), |ms| format!("{ms} ms {when} it"));
        println!(
            "  taken in {} ms before deliver_by: {lines} lines; Talkback's call {}; the producer's {}",
            i128::from(*steps) * i128::try_from(STEP.as_millis()).unwrap(),
            ms(before_ms, "before"),
            ms(own_after_ms, "after")
        );
    }
}

/// Talkback calls until `deliver_by` and not after it; what it began less than GroupMe's answer before, it cuts off then,
/// and does not know what became of it. Who looks into the room sees it; who cannot, and is told by nobody, posts again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_a_call_that_deliver_by_cuts_off_is_doubled_and_only_by_who_cannot_look() {
    for sight in [Sight::Nobody, Sight::Callbacks, Sight::Producer] {
        let seen = sweep(sight).await;
        tell(sight, &seen);
        for Seen { steps, lines, before_ms, .. } in &seen {
            assert!(*lines > 0, "{steps}: lost");
            // What began so long before that its answer came is told, and nobody posts it again.
            let was_answered = before_ms.is_some_and(|ms| ms > i64::try_from(ANSWER.as_millis()).unwrap() + 100);
            assert!(*lines == 1 || !was_answered, "{steps}: doubled outside of the window");
            assert!(before_ms.is_none_or(|ms| ms > -50), "{steps}: Talkback called after deliver_by");
        }
        let doubled = seen.iter().filter(|seen| seen.lines > 1).count();
        match sight {
            Sight::Nobody => assert!(doubled > 0, "a toy: the window was not hit"),
            // How soon a callback comes is GroupMe's to say.
            Sight::Callbacks => {}
            Sight::Producer => assert_eq!(doubled, 0, "who looks posts nothing twice"),
        }
    }
}
