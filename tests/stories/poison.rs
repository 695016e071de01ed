//! A thousand mutated messages between good ones: bodies that were cut, twisted and filled with rubbish, and records of
//! Amazon's event that are not what they should be. The good ones are posted; of each bad one there is a row.
use std::collections::HashSet;
use std::time::Instant;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use lapin::BasicProperties;
use serde_json::{Value, json};
use talkback::amqp_event::{Record, read_record};

use crate::attack::{Tally, attack};
use crate::payloads::events;
use crate::payloads::wire::{Wire, example};
use crate::process::chance::Chance;
use crate::station::{BOT, GROUP, PATIENCE, Station};

const BAD: usize = 1000;

/// Every so manyth comes through the broker, the others in events made here.
const BY_BROKER: usize = 10;

/// Messages of one batch, bad and good.
const LARGEST: u64 = 40;

/// A row each, whatever it was: a message, something rejected, or a producer's record of a call; a record of a message
/// that nobody knew makes that one, too.
const ROWS: &str = "
select ((select count(*) from messages where verdict <> 'already_sent') + (select count(*) from rejected)
        + (select count(*) from api_calls where outcome = 'recorded'))::text";

/// The newest of them, in words.
const NEW: &str = "
select what from (
  select accepted_at as at, concat_ws(' ', 'message', verdict, source, given_uid) as what from messages
  union all select at, concat_ws(' ', 'rejected', reason, source, detail) from rejected
  union all select at, concat_ws(' ', 'recorded', operation, uid) from api_calls where outcome = 'recorded') rows
order by at desc";

/// The uid in the one event whose body is written out as text.
const FIXED_UID: &str = "000000b3-5f0e-4c1b-9a43-6d2f8c7e1b0a";

/// Words that have broken programs before.
const RUBBISH: [&str; 12] = [
    "",
    "\u{0}",
    "\u{0}\u{0}after a zero",
    "\u{202e}backwards",
    "\u{feff}",
    "🏳\u{fe0f}\u{200d}🌈",
    "'; drop table messages; --",
    "{\"body\": \"within\"}",
    "null",
    "9999999999999999999999999999",
    "../../etc/passwd",
    "%s%n%x",
];

fn odd_value(chance: &mut Chance, deep: u8) -> Value {
    match chance.within(0..if deep == 0 { 9 } else { 11 }) {
        0 => Value::Null,
        1 => json!(true),
        2 => json!(-1),
        3 => json!(1e300),
        4 => json!(u64::MAX),
        5 => json!("long ".repeat(usize::try_from(chance.within(1..9000)).unwrap())),
        6..9 => json!(chance.one_of(&RUBBISH)),
        9 => json!([odd_value(chance, deep - 1), odd_value(chance, deep - 1)]),
        _ => json!({ "body": odd_value(chance, deep - 1), "bytes": odd_value(chance, deep - 1) }),
    }
}

/// Some place in a document, any depth: it becomes something else, goes, or gets company.
fn twist(value: &mut Value, chance: &mut Chance) {
    match value {
        Value::Object(fields) if !fields.is_empty() && chance.within(0..8) > 0 => {
            let at = usize::try_from(chance.within(0..fields.len() as u64)).unwrap();
            let name = fields.keys().nth(at).unwrap().clone();
            match chance.within(0..5) {
                0 => drop(fields.remove(&name)),
                1 => drop(fields.insert(chance.one_of(&RUBBISH).to_owned(), odd_value(chance, 2))),
                _ => twist(fields.get_mut(&name).unwrap(), chance),
            }
        }
        Value::Array(items) if !items.is_empty() && chance.within(0..8) > 0 => {
            let at = usize::try_from(chance.within(0..items.len() as u64)).unwrap();
            twist(&mut items[at], chance);
        }
        other => *other = odd_value(chance, 3),
    }
}

/// Bytes that are no longer what was written.
fn spoil(bytes: &mut Vec<u8>, chance: &mut Chance) {
    let place = |bytes: &Vec<u8>, chance: &mut Chance| {
        usize::try_from(chance.within(0..bytes.len().max(1) as u64)).unwrap().min(bytes.len())
    };
    for _ in 0..chance.within(1..4) {
        let at = place(bytes, chance);
        match chance.within(0..5) {
            0 => bytes.truncate(at),
            1 if at < bytes.len() => bytes[at] ^= u8::try_from(chance.within(1..256)).unwrap(),
            2 => bytes.insert(at, u8::try_from(chance.within(0..256)).unwrap()),
            3 => {
                let again = bytes[at..].to_vec();
                bytes.extend(again);
            }
            _ => drop(bytes.splice(at..at, chance.one_of(&RUBBISH).bytes())),
        }
    }
}

/// A message that is to be spoilt: where it goes, and what it says, with a uid that nobody else has.
fn model<'a>(all: &'a [(String, Value)], chance: &mut Chance) -> (&'a Value, Vec<u8>) {
    let at = usize::try_from(chance.within(0..all.len() as u64)).unwrap();
    let event = &all[at].1;
    let mut body = event["body"].clone();
    for field in ["wbor_message_id", "uid", "id", "source_guid"] {
        if body.get(field).is_some() {
            body[field] = json!(chance.uuid());
        }
    }
    for _ in 0..chance.within(0..3) {
        twist(&mut body, chance);
    }
    let text = body.as_str().map_or_else(|| body.to_string(), |text| text.replace(FIXED_UID, &chance.uuid()));
    let mut bytes = text.into_bytes();
    if chance.within(0..2) == 0 {
        spoil(&mut bytes, chance);
    }
    let bytes = String::from_utf8(bytes)
        .map_or_else(|error| error.into_bytes(), |text| text.replace("0123456789abcdef0123456789", BOT).into_bytes());
    (event, bytes)
}

/// A record of Amazon's event with this in it; often it is not what it should be itself.
fn record(key: &str, body: &[u8], chance: &mut Chance) -> Value {
    let mut record = Station::raw_message(key, body, json!({}));
    // Without any uid two equal ones of a second would count as one.
    record["basicProperties"]["messageId"] = json!(chance.uuid());
    match chance.within(0..6) {
        0 => twist(&mut record["basicProperties"], chance),
        1 => record["data"] = odd_value(chance, 1),
        2 => {
            let mut data = STANDARD.encode(body).into_bytes();
            spoil(&mut data, chance);
            record["data"] = json!(String::from_utf8_lossy(&data));
        }
        3 => twist(&mut record, chance),
        _ => {}
    }
    record
}

/// What nobody could tell from another one: those count as one message. Such is what bears neither the broker's stamp nor
/// a mark of its producer, and says the same.
fn identity(record: &Value) -> String {
    match read_record("talkback", "/", record) {
        Record::Delivery(read)
            if [&read.message_id, &read.correlation_id, &read.timestamp].iter().all(|m| m.is_none()) =>
        {
            format!("{:?} {:?}", read.stamp_time(), read.body)
        }
        _ => record.to_string(),
    }
}

struct Good {
    word: String,
    body: Value,
}

fn good(number: usize, chance: &mut Chance) -> Good {
    let word = format!("good{number:04}");
    Good { body: json!({ "body": word, "wbor_message_id": chance.uuid() }), word }
}

async fn round(seed: u64) -> Tally {
    let mut chance = Chance::of(seed);
    let wire = Wire::open(example()).await;
    let all = events();
    let mut tally = Tally::default();
    let mut words = Vec::new();
    let (mut bad, mut same) = (0, HashSet::new());
    while bad < BAD {
        let before: usize = wire.column(ROWS).await[0].parse().unwrap();
        let mut batch: Vec<Value> = Vec::new();
        for _ in 0..chance.within(2..LARGEST) {
            if chance.within(0..6) == 0 {
                let good = good(words.len(), &mut chance);
                batch.push(Station::message("source.standard", &good.body));
                words.push(good.word);
            } else {
                let (event, body) = model(&all, &mut chance);
                let record = record(event["key"].as_str().unwrap(), &body, &mut chance);
                if same.insert(identity(&record)) {
                    batch.push(record);
                    bad += 1;
                }
            }
        }
        let begun = Instant::now();
        let told = wire.station.consume(&batch).await;
        // Calls of others were made meanwhile.
        let struck = wire.station.sim.posts().iter().any(|post| post.at > begun);
        tally.hits += if struck { batch.len() } else { 0 };
        let rows = wire.column(ROWS).await[0].parse::<usize>().unwrap() - before;
        if rows != batch.len() {
            let new = format!("{NEW} limit {}", rows + 1);
            tally.others.push(wire.column(&new).await.join("\n"));
            tally.others.push(format!(
                "{} in a batch, {rows} rows, {told}: {}",
                batch.len(),
                Value::Array(batch.clone())
            ));
        }
        tally.lost += batch.len().saturating_sub(rows);
        tally.messages += batch.len();
        if bad % BY_BROKER == 0 {
            // The same way that a station's program has.
            let (event, body) = model(&all, &mut chance);
            let (exchange, key) = (event["exchange"].as_str().unwrap(), event["key"].as_str().unwrap());
            let properties = BasicProperties::default().with_message_id(chance.uuid().into());
            wire.publish(exchange, key, &body, properties).await;
            let good = good(words.len(), &mut chance);
            wire.publish(
                "source_exchange",
                "source.standard",
                good.body.to_string().as_bytes(),
                BasicProperties::default(),
            )
            .await;
            words.push(good.word);
        }
    }
    for word in &words {
        let shown = |lines: &[groupme_sim::Line]| {
            lines.iter().filter(|line| line.text.as_deref().is_some_and(|text| text.contains(word.as_str()))).count()
        };
        let _ = wire.station.sim.wait_for(|lines| shown(lines) > 0, PATIENCE).await;
        let count = shown(&wire.station.sim.lines(GROUP));
        tally.lost += usize::from(count == 0);
        tally.doubled += count.saturating_sub(1);
    }
    wire.end().await;
    tally
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_poisoned_messages_harm_only_themselves() {
    attack("poison", &[13], round).await;
}
