//! What a message costs when the tables are small, and when they have millions of rows.
use std::time::Instant;

use anyhow::Result;
use xtask::progress::say;

use crate::bench::{Bench, ROUNDS};
use crate::figure::{Figure, Target, median};
use crate::station::{BATCH, OFF, Plan, Station, events};

/// Rows that one finished message leaves: itself, its delivery, its part, three events, its call.
const ROWS_OF_A_MESSAGE: u64 = 7;

/// The rows. All sizes are there at once, so that their rounds can be interleaved.
pub(crate) async fn rows(bench: &Bench) -> Result<Vec<Figure>> {
    let sizes: &[u64] = if bench.quick { &[1_000, 100_000] } else { &[1_000, 1_000_000, 10_000_000] };
    let messages = bench.size(500, 100);
    let mut stations = Vec::new();
    for &size in sizes {
        let database = format!("grown_{size}");
        bench.database(&database).await?;
        let station = Station::start(bench, Plan { database: &database, rooms: 1, pace: OFF, amqp_url: None }).await?;
        let start = Instant::now();
        fill(&station.database, size / ROWS_OF_A_MESSAGE).await?;
        say(format!("    {size} rows in {:.0} s", start.elapsed().as_secs_f64()));
        station.relay(bench, events(BATCH, 1, BATCH), BATCH).await?;
        stations.push((database, size, station, Vec::new()));
    }
    for _ in 0..ROUNDS {
        for (_, _, station, costs) in &mut stations {
            costs.push(station.relay(bench, events(messages, 1, BATCH), messages).await? * 1e3 / messages as f64);
        }
    }
    let mut figures = Vec::new();
    let smallest = median(&stations[0].3);
    for (database, size, station, costs) in stations {
        let figure = format!("time of a message at {size} rows");
        let cost = median(&costs);
        figures.push(if size == 1_000 {
            Figure::new(&figure, "ms", cost, Target::None, !bench.quick)
        } else {
            let peer = ("at 1000 rows", smallest);
            Figure::beside(&figure, "ms", cost, peer, Target::AtMostTimes(1.2), !bench.quick)
        });
        drop(station);
        bench.drop_database(&database)?;
    }
    Ok(figures)
}

/// So many finished messages of the past, with all that was written down of them. Without the triggers, whose rows are
/// written here, too.
async fn fill(database: &tokio_postgres::Client, messages: u64) -> Result<()> {
    database
        .batch_execute(&format!(
            "set session_replication_role = replica;
             insert into messages (uid, given_uid, short_uid, source, door, verdict, priority, body, content_hash,
                                   accepted_by, accepted_at)
             select u, u, left(u, 8), 'source.bench.room0', 'rabbitmq', 'accepted', 0,
                    'Signal lost on the main stream of studio B; the backup encoder has taken over. Report ' || n,
                    sha256(u::bytea), u, now() - n * interval '1 s'
             from (select n, gen_random_uuid()::text as u from generate_series(1, {messages}) n) x;
             insert into deliveries (uid, room, prio, qseq, state, cause, parts, sent, confirmed, age, expires_at)
             select uid, 'room-0', 0, nextval('queue_seq'), 'confirmed', 'seen in the room', 1, 1, 1, '1 day',
                    accepted_at + interval '1 day' from messages;
             insert into parts (delivery, n, room, kind, text, fingerprint, state, attempt, token, claimed_at)
             select id, 1, room, 'text', 'Signal lost on the main stream; the backup encoder has taken over. ' || uid,
                    sha256(uid::bytea), 'confirmed', 1, uid, expires_at - interval '1 day' from deliveries;
             insert into delivery_events (delivery, at, old_state, new_state, cause)
             select id, expires_at - interval '1 day', s.old_state, s.new_state, 'its turn' from deliveries,
                    (values (null, 'queued'), ('queued', 'sending'), ('sending', 'confirmed')) s(old_state, new_state);
             insert into api_calls (at, uid, room, channel, operation, status, outcome, latency_ms, request, delivery,
                                    part, attempt, token)
             select expires_at - interval '1 day', uid, room, 'groupme', 'post', 202, 'posted', 12,
                    jsonb_build_object('text', uid), id, 1, 1, uid from deliveries;
             set session_replication_role = origin;"
        ))
        .await?;
    // What autovacuum and the checkpointer would do in the middle of the rounds is done before them.
    database.batch_execute("vacuum (analyze) messages, deliveries, parts, delivery_events, api_calls").await?;
    database.batch_execute("checkpoint").await?;
    Ok(())
}
