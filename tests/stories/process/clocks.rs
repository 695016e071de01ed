//! Clocks that are more than ten minutes apart: all that is judged by time is judged by one clock, or by spans.
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use talkback::broker::Props;
use tokio::time::{Instant, interval};

use super::chance::Chance;
use super::traffic::Message;
use super::works::{Setup, Works, eventually, group};
use crate::attack::{Tally, attack};

const MESSAGES: usize = 60;

/// Over which they are said.
const TIME: Duration = Duration::from_secs(6);

const OVERLAP: Duration = Duration::from_secs(1);

/// How long the chat takes for an answer.
const ANSWER: Duration = Duration::from_millis(20);

const PACE: (&str, Duration) = ("30ms", Duration::from_millis(30));

/// Of producers that wait for an answer.
const PATIENCE: (&str, Duration) = ("6s", Duration::from_secs(6));

/// Eleven minutes: ten are the emulator's time limit, and a clock that is fast by just that is a special case.
const AHEAD: i64 = 660;

/// One dispatcher is ahead, the consumer behind; of the doors' processes one is ahead, one behind.
const CLOCKS: [(&str, i64); 6] = [
    ("dispatcher-1", AHEAD),
    ("rabbitmq-consumer-1", -AHEAD),
    ("send-1", AHEAD),
    ("send-2", -AHEAD),
    ("groupme-callback-1", AHEAD),
    ("groupme-callback-2", -AHEAD),
];

/// And the other way round.
const OTHER_WAY: [(&str, i64); 4] =
    [("dispatcher-1", -AHEAD), ("rabbitmq-consumer-1", AHEAD), ("send-1", -AHEAD), ("send-2", AHEAD)];

/// Something whose fate is a matter of time, and whether people are to see it.
struct Timed {
    word: String,
    seen: bool,
}

/// A listener's text, whose producer waits for an answer.
async fn listener(works: &Works, word: &str, chance: &mut Chance) {
    let body = json!({ "Body": word, "From": "+12075550123", "wbor_message_id": chance.uuid(), "source": "twilio" });
    let props = Props {
        reply_to: Some("nobody-reads-this".to_owned()),
        correlation_id: Some(word.to_owned()),
        ..Props::default()
    };
    works.publish("source.twilio.sms.incoming", &body, &props).await;
}

/// A message that says until when it is worth posting.
async fn until(works: &Works, word: &str, minutes: i64, chance: &mut Chance) {
    let end = Timestamp::now() + SignedDuration::from_mins(minutes);
    let body = json!({ "body": word, "expires_at": end.to_string(), "wbor_message_id": chance.uuid() });
    works.publish("source.standard", &body, &Props::default()).await;
}

async fn round(seed: u64) -> Tally {
    let clocks: &'static [(&str, i64)] = if seed.is_multiple_of(2) { &CLOCKS } else { &OTHER_WAY };
    let setup = Setup {
        story: "clocks",
        clocks,
        dispatchers: 2,
        slow: ANSWER,
        pace: PACE.0,
        patience: PATIENCE.0,
        // After each batch the consumer posts for a second: what comes meanwhile must not wait for several of them.
        batch: 100,
        ..Setup::default()
    };
    let works = Arc::new(Works::start(setup).await);
    let mut chance = Chance::of(seed);
    let said: Vec<Message> = (0..MESSAGES).map(|number| Message::new(number, works.rooms, &mut chance)).collect();
    let senders = works.say(&said, TIME);
    let mut timed = Vec::new();
    let mut steady = interval(TIME / 12);
    for number in 0..10 {
        steady.tick().await;
        let (kind, seen) = [("intime", true), ("stillgood", true), ("tooold", false)][number % 3];
        let word = format!("{kind}{number}");
        match number % 3 {
            0 => listener(&works, &word, &mut chance).await,
            1 => until(&works, &word, 5, &mut chance).await,
            _ => until(&works, &word, -5, &mut chance).await,
        }
        timed.push(Timed { word, seen });
    }
    senders.join_all().await;

    // Nobody takes these in before their producers have lost their patience.
    works.functions.hold_down("rabbitmq-consumer");
    for number in 0..3 {
        let word = format!("toolate{number}");
        listener(&works, &word, &mut chance).await;
        timed.push(Timed { word, seen: false });
    }
    // The stamp has whole seconds.
    let over = Instant::now() + PATIENCE.1 + Duration::from_secs(1);
    eventually("the end of their patience", async || (Instant::now() > over).then_some(())).await;
    works.functions.let_up("rabbitmq-consumer");
    let judged = "select count(*)::text from deliveries where state in ('withdrawn', 'expired')";
    let settled = "select count(*)::text from messages m where m.uid not in (select uid from deliveries where state in
                   ('confirmed', 'withdrawn', 'expired'))";
    let all = format!("select ((select count(*) from messages) >= {})::text", MESSAGES + timed.len());
    works.until(&all, &["true"]).await;
    works.until(settled, &["0"]).await;
    for (name, seconds) in &clocks[..2] {
        let what = format!("a line of {name} with its own time");
        eventually(&what, async || is_wrong(&works.folder, name, *seconds)).await;
    }

    let mut tally = works.reckon(&said, OVERLAP).await.tally(&format!("{AHEAD} s"), &works);
    tally.hits = works.crossed().await;
    tally.messages += timed.len();
    let lines = works.sim.lines(&group(0));
    let mut late = 0;
    for Timed { word, seen } in &timed {
        let shown = lines.iter().filter(|line| line.text.as_deref().is_some_and(|text| text.contains(word))).count();
        if *seen && shown == 0 && late_in_earnest(&works, word).await {
            // The machine was so busy that its producer's patience was over: no fault of a clock.
            late += 1;
        } else if *seen && shown == 0 {
            tally.lost += 1;
            tally.others.push(format!("{word} was not shown"));
        }
        tally.doubled += shown.saturating_sub(1);
        if !seen && shown > 0 {
            tally.others.push(format!("{word} was shown"));
        }
    }
    let wanted = timed.iter().filter(|timed| !timed.seen).count() + late;
    let found = works.column(judged).await;
    if found != [wanted.to_string()] {
        tally.others.push(format!("{found:?} were withdrawn or expired instead of {wanted}"));
    }
    tally.others.extend(works.too_fast(PACE.1, ANSWER).await);
    Arc::into_inner(works).unwrap().end().await;
    tally
}

/// Whether a listener's text was withdrawn, and not before its producer had waited for as long as it says, by the
/// database's clock alone: accepted in its time, or with its time set from its stamp.
async fn late_in_earnest(works: &Works, word: &str) -> bool {
    let patience = PATIENCE.1.as_secs();
    let query = format!(
        "select (e.at >= d.deliver_by and d.deliver_by between m.accepted_at - interval '60 s'
                                                            and m.accepted_at + interval '{} s')::text
         from messages m join deliveries d using (uid) join delivery_events e on e.delivery = d.id
         where m.body = '{word}' and e.new_state = 'withdrawn'",
        patience + 1
    );
    works.column(&query).await == ["true"]
}

/// Whether a process has written its lines with a time that is wrong by so much: those of the last minutes.
fn is_wrong(folder: &Path, name: &str, seconds: i64) -> Option<()> {
    let log = std::fs::read_to_string(folder.join(format!("{name}.log"))).ok()?;
    let line = log.lines().rev().find_map(|line| serde_json::from_str::<Value>(line).ok())?;
    let written: Timestamp = line["timestamp"].as_str()?.parse().ok()?;
    let wrong = written.duration_since(Timestamp::now()).as_secs();
    ((wrong - seconds).abs() < 120).then_some(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clocks_ten_minutes_apart_change_neither_pace_nor_order_nor_what_is_too_late() {
    attack("clocks", &[10, 11], round).await;
}
