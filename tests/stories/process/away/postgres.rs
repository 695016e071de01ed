//! Postgres goes away.
use std::time::Duration;

use tokio::time::Instant;
use xtask::servers::Postgres;

use super::ground::{Ground, Own, Said, seen};
use crate::attack::{Tally, attack};
use crate::process::traffic::Door;
use crate::station::connect;

/// How long it is away.
const AWAY: Duration = Duration::from_secs(5);

/// How long a start of it may take in all.
const STARTING: Duration = Duration::from_secs(20);

const BOTH: [Door; 2] = [Door::Queue, Door::Http];

/// Starts a Postgres again that was killed. A session that began just then outlives its server for a moment, and nothing
/// starts beside it.
pub fn start_again(postgres: &mut Postgres) {
    let begun = Instant::now();
    while let Err(error) = postgres.start_again() {
        assert!(begun.elapsed() < STARTING, "{error:?}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Messages flow, it goes away, more come, it comes back, and more come.
async fn round(
    story: &'static str,
    seed: u64,
    full: bool,
    go: impl AsyncFn(&mut Ground),
    come_back: impl AsyncFn(&mut Ground),
) -> Tally {
    let mut ground = Ground::open(story, seed, Own { postgres: true, small_disk: full, ..Own::default() }).await;
    ground.say(15, Duration::from_secs(2), &[]);
    ground.rest(500, 1500).await;
    ground.busy_database().await;
    let gone = Instant::now();
    go(&mut ground).await;
    ground.without = Some(gone);
    ground.rest(50, 150).await;
    ground.say(18, AWAY.mul_f64(0.8), &BOTH);
    tokio::time::sleep_until(gone + AWAY).await;
    ground.back = Instant::now();
    come_back(&mut ground).await;
    let away = gone.elapsed();
    ground.say(6, Duration::from_secs(1), &[]);
    let said = ground.all_taken().await;
    // A broker that is slow to confirm leaves alarms by HTTP to who took them.
    ground.import().await;
    let mut tally = ground.reckon(&said, away).await;
    let disordered = out_of_order(&ground, &said);
    ground.end().await;
    tally.disordered += disordered.len();
    tally.told += &disordered.iter().map(|fault| format!("\n  disordered: {fault}")).collect::<String>();
    tally
}

/// What came by the queue of one priority for one room stands in the order in which the broker said yes: what was put
/// aside keeps its turn.
fn out_of_order(ground: &Ground, said: &[Said]) -> Vec<String> {
    let mut faults = Vec::new();
    let queued: Vec<&Said> = said.iter().filter(|said| said.message.door == Door::Queue).collect();
    for first in &queued {
        for then in &queued {
            let (one, other) = (&first.message, &then.message);
            let alike = one.room == other.room && one.priority() == other.priority() && one.priority() != "urgent";
            if alike && first.taken < then.begun && seen(&ground.works, one) > seen(&ground.works, other) {
                faults.push(format!("{} was taken before {}, and is seen after it", one.words[0], other.words[0]));
            }
        }
    }
    faults
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_postgres_killed_and_started_again_nothing_is_lost_and_alarms_are_seen_at_once() {
    let go = async |ground: &mut Ground| ground.with_postgres(|postgres| postgres.kill()).await;
    let come_back = async |ground: &mut Ground| ground.with_postgres(start_again).await;
    attack("postgres-killed", &[21], async |seed| round("postgres-killed", seed, false, go, come_back).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_postgres_frozen_nothing_is_lost_and_alarms_are_seen_at_once() {
    let go = async |ground: &mut Ground| ground.with_postgres(|postgres| postgres.freeze()).await;
    let come_back = async |ground: &mut Ground| ground.with_postgres(|postgres| postgres.thaw()).await;
    attack("postgres-frozen", &[22], async |seed| round("postgres-frozen", seed, false, go, come_back).await).await;
}

/// As a standby is that was made the primary of nobody, or a server that an operator has set so.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_postgres_read_only_nothing_is_lost_and_alarms_are_seen_at_once() {
    async fn set(ground: &Ground, how: &str) {
        let hand = connect(&ground.works.database_url).await;
        for statement in ["set default_transaction_read_only = off", how, "select pg_reload_conf()"] {
            hand.simple_query(statement).await.unwrap();
        }
    }
    let go = async |ground: &mut Ground| set(ground, "alter system set default_transaction_read_only = on").await;
    let come_back = async |ground: &mut Ground| set(ground, "alter system reset default_transaction_read_only").await;
    attack("postgres-read-only", &[23], async |seed| round("postgres-read-only", seed, false, go, come_back).await)
        .await;
}

/// Not a byte more can be written: a small file system is filled up, or, where none can be mounted, no file may grow; the
/// server's own log of changes then stops it altogether.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_postgres_on_a_full_disk_nothing_is_lost_and_alarms_are_seen_at_once() {
    let go = async |ground: &mut Ground| ground.fill_disk().await;
    let come_back = async |ground: &mut Ground| ground.empty_disk().await;
    attack("postgres-full", &[24], async |seed| round("postgres-full", seed, true, go, come_back).await).await;
}
