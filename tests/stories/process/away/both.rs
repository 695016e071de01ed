//! Postgres and RabbitMQ go away together: alarms by HTTP go out and are imported, the rest is refused, and what was
//! published waits.
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::ground::{Ground, Own, SETTLED};
use super::postgres::start_again;
use crate::attack::attack;
use crate::process::traffic::Door;

const AWAY: Duration = Duration::from_secs(3);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_postgres_and_rabbitmq_away_alarms_by_http_go_out_and_the_rest_comes_afterwards() {
    attack("both-down", &[41], async |seed| {
        let own = Own { postgres: true, rabbitmq: true, ..Own::default() };
        let mut ground = Ground::open("both-down", seed, own).await;
        // The broker is killed or frozen; Postgres is the other way round.
        let kill_broker = ground.chance.within(0..2) == 0;
        let settled = if kill_broker { SETTLED } else { Duration::ZERO };
        sleep_until(ground.opened + settled.saturating_sub(Duration::from_secs(2))).await;
        ground.say(9, Duration::from_millis(1200), &[]);
        ground.rest(500, 1500).await;
        sleep_until(ground.opened + settled).await;
        ground.say(3, Duration::from_millis(200), &[]);
        ground.busy_database().await;
        let (one, other) = if kill_broker { ("killed", "frozen") } else { ("frozen", "killed") };
        ground.did += &format!("RabbitMQ {one}, Postgres {other}, ");
        let gone = Instant::now();
        ground.with_postgres(move |postgres| if kill_broker { postgres.freeze() } else { postgres.kill() }).await;
        ground.with_rabbitmq(move |rabbitmq| if kill_broker { rabbitmq.kill() } else { rabbitmq.freeze() }).await;
        ground.without = Some(gone);
        ground.rest(50, 150).await;
        ground.say(12, AWAY.mul_f64(0.8), &[Door::Http]);
        sleep_until(gone + AWAY).await;
        ground.back = Instant::now();
        let broker_first = ground.chance.within(0..2) == 0;
        if broker_first {
            come_back(&mut ground, kill_broker).await;
        }
        ground.with_postgres(move |postgres| if kill_broker { postgres.thaw() } else { start_again(postgres) }).await;
        if !broker_first {
            come_back(&mut ground, kill_broker).await;
        }
        let away = gone.elapsed();
        ground.say(6, Duration::from_secs(1), &[]);
        let said = ground.all_taken().await;
        ground.import().await;
        let tally = ground.reckon(&said, away).await;
        ground.end().await;
        tally
    })
    .await;
}

async fn come_back(ground: &mut Ground, killed: bool) {
    ground.with_rabbitmq(move |rabbitmq| if killed { rabbitmq.start_again().unwrap() } else { rabbitmq.thaw() }).await;
}
