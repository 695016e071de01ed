//! A dependency is away for a moment: the consumer, and connections to Postgres.
use std::sync::Arc;
use std::time::Duration;

use talkback::broker::QUEUE;
use tokio::time::{Instant, sleep};

use super::chance::Chance;
use super::traffic::{Door, Message};
use super::works::{Setup, Works, eventually};
use crate::attack::{Tally, attack};
use crate::station::connect;

const OVERLAP: Duration = Duration::from_secs(1);

/// The consumer is away while messages come, and again and again afterwards: its bridge gives back each batch.
async fn consumer_away(seed: u64) -> Tally {
    let setup = Setup { story: "consumer-away", batch: 100, ..Setup::default() };
    let works = Arc::new(Works::start(setup).await);
    let mut chance = Chance::of(seed);
    let mut said: Vec<Message> = (0..60).map(|number| Message::new(number, works.rooms, &mut chance)).collect();
    said.iter_mut().for_each(|message| message.door = Door::Queue);
    let later = said.split_off(20);

    works.functions.hold_down("rabbitmq-consumer");
    works.say(&said, Duration::from_millis(200)).join_all().await;
    let log = works.folder.join("bridge.log");
    let returned = || std::fs::read_to_string(&log).map_or(0, |log| log.matches("a batch goes back").count());
    eventually("a batch that went back", async || (returned() > 0).then_some(())).await;
    assert_eq!(works.column("select count(*)::text from messages").await, ["0"]);
    assert!(works.sim.posts().is_empty());
    works.functions.let_up("rabbitmq-consumer");

    let senders = works.say(&later, Duration::from_secs(4));
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(4) {
        // The moments are what the story is about: no condition is waited for.
        sleep(Duration::from_millis(chance.within(200..600))).await;
        works.functions.hold_down("rabbitmq-consumer");
        sleep(Duration::from_millis(chance.within(100..500))).await;
        works.functions.let_up("rabbitmq-consumer");
    }
    senders.join_all().await;
    said.extend(later);
    let batches = returned();
    let mut tally = works.reckon(&said, OVERLAP).await.tally(&format!("{batches} batches went back"), &works);
    // Each was with the consumer, or on its way to it, when that was away.
    tally.hits += batches;
    let empty = async || (works.vhost.broker.depth(QUEUE).await == Ok(0)).then_some(());
    eventually("an empty queue", empty).await;
    if works.column("select count(*)::text from rejected").await != ["0"] {
        tally.others.push("something was rejected".to_owned());
    }
    Arc::into_inner(works).unwrap().end().await;
    tally
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_bridge_returns_a_batch_that_failed_and_delivers_it_later() {
    attack("consumer-away", &[5], consumer_away).await;
}

/// Ends every session of the story's database but our own, if one of them is at work; says how many there were, and
/// how many of them worked.
const CUT: &str = "
with s as materialized (
  select pid, state <> 'idle' as at_work from pg_stat_activity
  where datname = current_database() and pid <> pg_backend_pid() and backend_type = 'client backend')
select count(*) filter (where pg_terminate_backend(pid)), count(*) filter (where at_work)
from s where exists (select 1 from s where at_work)";

async fn postgres_cut(seed: u64) -> Tally {
    let cutting = Duration::from_secs(7);
    let works = Arc::new(Works::start(Setup { story: "postgres-cut", ..Setup::default() }).await);
    let mut chance = Chance::of(seed);
    let said: Vec<Message> = (0..70).map(|number| Message::new(number, works.rooms, &mut chance)).collect();
    let begun = Instant::now();
    let senders = works.say(&said, cutting);
    let (mut cut, mut at_work) = (0, 0);
    let scissors = connect(&works.database_url).await;
    while begun.elapsed() < cutting {
        // The moments are what the story is about: no condition is waited for.
        sleep(Duration::from_millis(chance.within(200..900))).await;
        let busy = async || {
            let row = scissors.query_one(CUT, &[]).await.unwrap();
            Some((row.get::<_, i64>(0), row.get::<_, i64>(1))).filter(|(cut, _)| *cut > 0)
        };
        let now = eventually("a session at work", busy).await;
        cut += now.0;
        at_work += now.1;
    }
    senders.join_all().await;
    let did = format!("{cut} sessions cut, {at_work} of them at work");
    let mut tally = works.reckon(&said, OVERLAP).await.tally(&did, &works);
    tally.hits = usize::try_from(at_work).unwrap();
    if cut <= 10 {
        tally.others.push(format!("only {did}"));
    }
    Arc::into_inner(works).unwrap().end().await;
    tally
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_to_postgres_cut_off_in_mid_flight_lose_and_double_nothing() {
    attack("postgres-cut", &[6], postgres_cut).await;
}
