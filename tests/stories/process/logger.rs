//! The outside logger while dispatchers are killed: it may hear a thing twice, and misses none.
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use talkback::amqp_event::Record;
use talkback::broker::QUEUE;
use tokio::time::{Instant, sleep};

use super::chance::Chance;
use super::traffic::Message;
use super::works::{SOURCE, Setup, Works, eventually};

const LOGGER: &str = "logger";
const OVERLAP: Duration = Duration::from_secs(1);
const KILLING: Duration = Duration::from_secs(6);

/// Taking rows to publish lasts a while, so that many a dispatcher is killed with rows in its hands.
const DAWDLE: &str = "
create function dawdle() returns trigger language plpgsql as $$ begin perform pg_sleep(0.3); return null; end $$;
create trigger dawdle before update on record_outbox for each statement execute function dawdle()";

/// What the dead had in their hands is let go after half a minute; here sooner. Nobody alive holds it for a second.
const LET_GO: &str = "
update record_outbox set due = clock_timestamp()
where due > clock_timestamp() and due < clock_timestamp() + interval '28 s'";

/// Everything that lies in the logger's queue.
async fn heard(works: &Works) -> Vec<Value> {
    let mut heard = Vec::new();
    while let Some(taken) = works.vhost.broker.get(LOGGER).await.unwrap() {
        let Record::Delivery(delivery) = &taken.record else { panic!("an odd record") };
        heard.push(serde_json::from_slice(&delivery.body).unwrap());
        taken.ack().await.unwrap();
    }
    heard
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killing_dispatchers_at_random_moments_keeps_no_record_from_the_logger() {
    let lanes = "\n[records]\npublish = true";
    let setup = Setup { story: "logger", lanes, slow: Duration::from_millis(10), dispatchers: 2, ..Setup::default() };
    let works = Arc::new(Works::start(setup).await);
    works.vhost.queue(LOGGER).await;
    works.vhost.bind(SOURCE, LOGGER, "source.groupme.#").await;
    works.db().await.batch_execute(DAWDLE).await.unwrap();
    let mut chance = Chance::of(7);
    let said: Vec<Message> = (0..60).map(|number| Message::new(number, works.rooms, &mut chance)).collect();
    let begun = Instant::now();
    let senders = works.say(&said, KILLING);
    let mut kills = 0;
    while begun.elapsed() < KILLING {
        // The moments are what the story is about: no condition is waited for.
        sleep(Duration::from_millis(chance.within(50..300))).await;
        kills += usize::from(works.functions.kill("dispatcher", chance.within(0..2)));
    }
    senders.join_all().await;
    let let_go = works.db().await.execute(LET_GO, &[]).await.unwrap();
    let reckoning = works.reckon(&said, OVERLAP).await;
    assert!(reckoning.is_clean(), "{}\nlogs in {}", reckoning.told(), works.folder.display());
    works.db().await.execute(LET_GO, &[]).await.unwrap();
    works.until("select count(*)::text from record_outbox", &["0"]).await;
    let empty = async || (works.vhost.broker.depth(QUEUE).await == Ok(0)).then_some(());
    eventually("an empty queue", empty).await;

    let heard = heard(&works).await;
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let of = |kind: &'static str| heard.iter().filter(move |record| record["type"] == kind);
    let posts: BTreeSet<String> =
        of("log").filter(|r| r["code"] == 202).map(|r| text(&r["wbor_message_id"]) + &text(&r["text"])).collect();
    let lines: BTreeSet<String> = of("callback").map(|record| text(&record["id"])).collect();
    let made = "select given_uid || (request->>'text') from api_calls join messages using (uid)
                where operation = 'post' and status = 202";
    assert_eq!(posts, works.column(made).await.into_iter().collect());
    assert_eq!(lines, works.column("select line_id from groupme_callbacks").await.into_iter().collect());
    let told = format!("{kills} kills, {let_go} in dead hands, {} posts, {} records", posts.len(), heard.len());
    println!("{told}");
    assert!(posts.len() >= 60 && kills > 15 && let_go > 0, "a toy: {told}");
    // They came round through the real bridge and consumer, and nothing of them is written down.
    assert_eq!(works.column("select count(*)::text from api_calls where outcome = 'recorded'").await, ["0"]);
    assert_eq!(works.column("select count(*)::text from groupme_callbacks where learnt_by = 'record'").await, ["0"]);
    assert_eq!(works.column("select count(*)::text from rejected").await, ["0"]);
    Arc::into_inner(works).unwrap().end().await;
}
