//! RabbitMQ goes away: who sends by HTTP does not notice, and what was published comes afterwards.
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::ground::{Ground, Own, SETTLED};
use super::postgres::start_again;
use super::proxy::Proxy;
use crate::attack::{Tally, attack};
use crate::process::traffic::Door;
use crate::process::works::eventually;
use crate::station::required;

/// How long it is away; one that was killed takes longer to come back.
const AWAY: Duration = Duration::from_millis(2500);

/// How long Postgres is away, and for most of that time the broker's answers, too.
const UNCONFIRMED: Duration = Duration::from_secs(4);

/// Within this a door that needs no broker says yes.
const UNAFFECTED: Duration = Duration::from_secs(4);

/// Messages flow, it goes away, more come, it comes back, and more come.
async fn round(
    story: &'static str,
    seed: u64,
    own: Own,
    settled: Duration,
    go: impl AsyncFn(&mut Ground),
    come_back: impl AsyncFn(&mut Ground),
) -> Tally {
    let mut ground = Ground::open(story, seed, own).await;
    sleep_until(ground.opened + settled.saturating_sub(Duration::from_secs(2))).await;
    ground.say(12, Duration::from_millis(1500), &[]);
    ground.rest(500, 1500).await;
    sleep_until(ground.opened + settled).await;
    // Something is surely under way.
    ground.say(6, Duration::from_millis(600), &[]);
    ground.busy_broker().await;
    go(&mut ground).await;
    let gone = Instant::now();
    ground.say(12, AWAY.mul_f64(0.8), &[Door::Http]);
    sleep_until(gone + AWAY).await;
    ground.back = Instant::now();
    come_back(&mut ground).await;
    let away = gone.elapsed();
    ground.say(6, Duration::from_secs(1), &[]);
    let said = ground.all_taken().await;
    let mut tally = ground.reckon(&said, away).await;
    for one in said.iter().filter(|one| one.message.door == Door::Http) {
        let took = one.taken - one.begun;
        if one.refused > 0 || took > UNAFFECTED {
            let (name, refused) = (&one.message.words[0], one.refused);
            tally.others.push(format!("{name} by HTTP was refused {refused} times, and taken after {took:?}"));
        }
    }
    ground.end().await;
    tally
}

fn own_broker() -> Own {
    Own { rabbitmq: true, ..Own::default() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_rabbitmq_killed_and_started_again_nothing_is_lost_and_senders_do_not_notice() {
    let go = async |ground: &mut Ground| ground.with_rabbitmq(|rabbitmq| rabbitmq.kill()).await;
    let come_back = async |ground: &mut Ground| ground.with_rabbitmq(|rabbitmq| rabbitmq.start_again().unwrap()).await;
    attack("rabbitmq-killed", &[31], async |seed| {
        round("rabbitmq-killed", seed, own_broker(), SETTLED, go, come_back).await
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_rabbitmq_frozen_nothing_is_lost_and_senders_do_not_notice() {
    let go = async |ground: &mut Ground| ground.with_rabbitmq(|rabbitmq| rabbitmq.freeze()).await;
    let come_back = async |ground: &mut Ground| ground.with_rabbitmq(|rabbitmq| rabbitmq.thaw()).await;
    attack("rabbitmq-frozen", &[32], async |seed| {
        round("rabbitmq-frozen", seed, own_broker(), Duration::ZERO, go, come_back).await
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_connections_closed_by_rabbitmq_nothing_is_lost_and_senders_do_not_notice() {
    let go = async |ground: &mut Ground| {
        for _ in 0..3 {
            let works = std::sync::Arc::clone(&ground.works);
            // The bridge, a function or the producers: whoever is known already.
            let known = async || Some(works.vhost.connections().await).filter(|names| !names.is_empty());
            let names = eventually("connections that can be closed", known).await;
            ground.say(5, Duration::from_millis(500), &[Door::Http]);
            ground.rest(50, 300).await;
            ground.busy_broker().await;
            let closed = works.vhost.close(&names).await;
            ground.did += &format!("{closed} connections closed, ");
            ground.rest(200, 500).await;
        }
    };
    let come_back = async |_: &mut Ground| {};
    attack("rabbitmq-closed", &[33], async |seed| {
        round("rabbitmq-closed", seed, Own::default(), Duration::ZERO, go, come_back).await
    })
    .await;
}

/// Where it hurts: the functions publish because Postgres is away. What is confirmed to nobody may be there all the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_publishes_unconfirmed_while_postgres_is_away_nothing_is_lost() {
    attack("rabbitmq-unconfirmed", &[34], async |seed| {
        let url = required("TALKBACK_TEST_AMQP_URL");
        let port = url.rsplit_once(':').unwrap().1.split('/').next().unwrap().parse().unwrap();
        let proxy = Proxy::before(port).await;
        let own = Own { postgres: true, amqp_port: Some(proxy.port), ..Own::default() };
        let mut ground = Ground::open("rabbitmq-unconfirmed", seed, own).await;
        ground.say(12, Duration::from_millis(1500), &[]);
        ground.rest(500, 1500).await;
        ground.busy_database().await;
        let gone = Instant::now();
        ground.with_postgres(|postgres| postgres.kill()).await;
        ground.without = Some(gone);
        ground.say(9, Duration::from_secs(1), &[Door::Http]);
        ground.rest(100, 1000).await;
        proxy.fall_silent();
        // What is in the queue comes when the broker lets go of the batch before it.
        ground.say(12, Duration::from_secs(2), &[Door::Http]);
        sleep_until(gone + UNCONFIRMED).await;
        let swallowed = proxy.pass();
        ground.hits += swallowed;
        ground.did += &format!("{swallowed} answers of the broker swallowed, ");
        ground.say(6, Duration::from_secs(1), &[]);
        ground.rest(1000, 1500).await;
        ground.back = Instant::now();
        ground.with_postgres(start_again).await;
        let away = gone.elapsed();
        let said = ground.all_taken().await;
        ground.import().await;
        let tally = ground.reckon(&said, away).await;
        ground.end().await;
        tally
    })
    .await;
}
