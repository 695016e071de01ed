//! The outside logger while dispatchers are killed: it may hear a thing twice, and misses none.
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use talkback::amqp_event::Record;
use talkback::broker::QUEUE;

use super::chance::Chance;
use super::traffic::Message;
use super::works::{SOURCE, Setup, Works, eventually};

const LOGGER: &str = "logger";
const OVERLAP: Duration = Duration::from_secs(1);
/// How often all dispatchers are killed.
const ROUNDS: usize = 5;

/// Who has published and is about to note it waits for us.
const WAIT_FOR_US: &str = "
create function wait_for_us() returns trigger language plpgsql as
$$ begin perform pg_advisory_xact_lock_shared(5); return null; end $$;
create trigger wait_for_us before delete on record_outbox for each statement execute function wait_for_us();
select pg_advisory_lock(5)";

const AT_IT: &str = "
select count(*) from pg_stat_activity
where datname = current_database() and wait_event = 'advisory' and pid <> pg_backend_pid()";

/// The server need not notice that its client is dead before it has done what it was told: here it does.
const CUT: &str = "
select count(pg_terminate_backend(pid)) from pg_stat_activity
where datname = current_database() and wait_event = 'advisory' and pid <> pg_backend_pid()";

/// What the dead had in their hands is let go after half a minute; here at once.
const LET_GO: &str = "update record_outbox set due = clock_timestamp() where due > clock_timestamp() + interval '20 s'";

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
async fn killing_dispatchers_that_have_published_and_not_noted_it_keeps_no_record_from_the_logger() {
    let lanes = "\n[records]\npublish = true";
    let setup = Setup { story: "logger", lanes, slow: Duration::from_millis(10), dispatchers: 2, ..Setup::default() };
    let works = Arc::new(Works::start(setup).await);
    works.vhost.queue(LOGGER).await;
    works.vhost.bind(SOURCE, LOGGER, "source.groupme.#").await;
    let db = works.db().await;
    db.batch_execute(WAIT_FOR_US).await.unwrap();
    let mut chance = Chance::of(7);
    let said: Vec<Message> = (0..60).map(|number| Message::new(number, works.rooms, &mut chance)).collect();
    let senders = works.say(&said, Duration::from_secs(6));
    let mut twice = 0;
    for _ in 0..ROUNDS {
        let at_it = async || (db.query_one(AT_IT, &[]).await.unwrap().get::<_, i64>(0) > 0).then_some(());
        eventually("a dispatcher that has published", at_it).await;
        works.functions.kill("dispatcher", 0);
        works.functions.kill("dispatcher", 1);
        db.execute(CUT, &[]).await.unwrap();
        twice += db.execute(LET_GO, &[]).await.unwrap();
    }
    db.batch_execute("select pg_advisory_unlock(5)").await.unwrap();
    senders.join_all().await;
    let reckoning = works.reckon(&said, OVERLAP).await;
    assert!(reckoning.is_clean(), "{}\nlogs in {}", reckoning.told(), works.folder.display());
    db.execute(LET_GO, &[]).await.unwrap();
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
    let told = format!("{twice} rows in dead hands, {} posts, {} records", posts.len(), heard.len());
    println!("{told}");
    assert!(posts.len() >= 60 && twice > 0 && heard.len() > posts.len() + lines.len(), "a toy: {told}");
    // They came round through the real bridge and consumer, and nothing of them is written down.
    assert_eq!(works.column("select count(*)::text from api_calls where outcome = 'recorded'").await, ["0"]);
    assert_eq!(works.column("select count(*)::text from groupme_callbacks where learnt_by = 'record'").await, ["0"]);
    assert_eq!(works.column("select count(*)::text from rejected").await, ["0"]);
    Arc::into_inner(works).unwrap().end().await;
}
