//! A dependency is away for a moment: the consumer, and connections to Postgres.
use std::sync::Arc;
use std::time::Duration;

use talkback::broker::QUEUE;
use tokio::time::{Instant, sleep};

use super::chance::Chance;
use super::traffic::{Door, Message};
use super::works::{Setup, Works, eventually};
use crate::station::connect;

const OVERLAP: Duration = Duration::from_secs(1);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_bridge_returns_a_batch_that_failed_and_delivers_it_later() {
    let setup = Setup { story: "consumer-down", batch: 100, ..Setup::default() };
    let works = Arc::new(Works::start(setup).await);
    let mut chance = Chance::of(5);
    let mut said: Vec<Message> = (0..20).map(|number| Message::new(number, works.rooms, &mut chance)).collect();
    said.iter_mut().for_each(|message| message.door = Door::Queue);

    works.functions.hold_down("rabbitmq-consumer");
    works.say(&said, Duration::from_millis(200)).join_all().await;
    let log = works.folder.join("bridge.log");
    let returned =
        async || std::fs::read_to_string(&log).is_ok_and(|log| log.contains("a batch goes back")).then_some(());
    eventually("a batch that went back", returned).await;
    assert_eq!(works.column("select count(*)::text from messages").await, ["0"]);
    assert!(works.sim.posts().is_empty());

    works.functions.let_up("rabbitmq-consumer");
    let reckoning = works.reckon(&said, OVERLAP).await;
    println!("{}", reckoning.told());
    assert!(reckoning.is_clean(), "{}\nlogs in {}", reckoning.told(), works.folder.display());
    let empty = async || (works.vhost.broker.depth(QUEUE).await == Ok(0)).then_some(());
    eventually("an empty queue", empty).await;
    assert_eq!(works.column("select count(*)::text from rejected").await, ["0"]);
    Arc::into_inner(works).unwrap().end().await;
}

/// Ends every session of the story's database but our own, if one of them is at work; says how many there were, and
/// how many of them worked.
const CUT: &str = "
with s as materialized (
  select pid, state <> 'idle' as at_work from pg_stat_activity
  where datname = current_database() and pid <> pg_backend_pid() and backend_type = 'client backend')
select count(*) filter (where pg_terminate_backend(pid)), count(*) filter (where at_work)
from s where exists (select 1 from s where at_work)";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_to_postgres_cut_off_in_mid_flight_lose_and_double_nothing() {
    let seed = 6;
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
    let reckoning = works.reckon(&said, OVERLAP).await;
    let told = format!("seed {seed}: {cut} sessions cut, {at_work} of them at work, {}", reckoning.told());
    println!("{told}");
    assert!(reckoning.is_clean(), "{told}\nlogs in {}", works.folder.display());
    assert!(cut > 10 && at_work > 0, "a toy: {told}");
    Arc::into_inner(works).unwrap().end().await;
}
