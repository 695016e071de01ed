//! What statistics cost over a million finished messages of a month: from the sums of their hours, as the dispatcher
//! keeps them, and what they are spared: counting the messages themselves.
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use jiff::{SignedDuration, Timestamp};
use talkback::store::{Store, statements};
use xtask::progress::say;

use crate::bench::{Bench, ROUNDS};
use crate::figure::{Figure, Target, median};

const DATABASE: &str = "stats";

/// What is counted.
const DAYS: i64 = 30;

/// The figures; the plan is written to `stats-plan.txt` beside the table.
///
/// The end of the month is chosen so that as much as can be is not summed yet: a quarter of an hour, and the whole hour
/// before it.
pub(crate) async fn rows(bench: &Bench) -> Result<Vec<Figure>> {
    let messages = bench.size(1_000_000, 20_000);
    bench.database(DATABASE).await?;
    let database = bench.connect(DATABASE).await?;
    let start = Instant::now();
    fill(&database, messages).await?;
    say(format!("    {messages} messages in {:.0} s", start.elapsed().as_secs_f64()));
    let hour = Timestamp::now().as_second() / 3600 * 3600;
    let until = Timestamp::from_second(hour)? - SignedDuration::from_mins(105);
    let since = until - SignedDuration::from_mins(15) - SignedDuration::from_hours(24 * DAYS);
    let store = Store::new(&bench.url_of(DATABASE).into(), None, Duration::from_secs(300), 1)?;

    let start = Instant::now();
    let counted = store.stats(since, until).await?;
    let bare = start.elapsed().as_secs_f64() * 1e3;
    ensure!(counted.messages == messages as i64, "only {} of {messages} messages are of that month", counted.messages);

    store.note_hours().await?;
    let (start, mut hours) = (Instant::now(), 0);
    while store.sum_hour().await? {
        hours += 1;
    }
    let an_hour = start.elapsed().as_secs_f64() * 1e3 / f64::from(hours);
    // The last whole hour of the month has just come to its end.
    let last =
        "insert into stats_due (hour, due) values (date_bin('1 hour', $1, 'epoch') - interval '1 hour', 'infinity')";
    database.execute(last, &[&until]).await?;
    database.batch_execute("vacuum (analyze) stats_hours, stats_due").await?;

    let mut took = Vec::new();
    // The first prepares the statement; five make a plan of their own, and then the server keeps one.
    for round in 0..ROUNDS + 6 {
        let start = Instant::now();
        let summed = store.stats(since, until).await?;
        if round >= 6 {
            took.push(start.elapsed().as_secs_f64() * 1e3);
        }
        ensure!(summed == counted, "summed: {summed:?}\ncounted: {counted:?}");
    }
    let plan = plan(&database, since, until).await?;
    std::fs::write(bench.dir.join("stats-plan.txt"), plan).context("stats-plan.txt")?;
    drop(database);
    drop(store);
    bench.drop_database(DATABASE)?;
    let figure = format!("statistics of a month with {messages} messages");
    let peer = ("counted without sums, once", bare);
    Ok(vec![
        Figure::beside(&figure, "ms", median(&took), peer, Target::AtMost(50.0), !bench.quick),
        Figure::new("summing one hour of them, in the dispatcher", "ms", an_hour, Target::None, !bench.quick),
    ])
}

/// The plan that the server keeps for the statement, as it ran.
async fn plan(database: &tokio_postgres::Client, since: Timestamp, until: Timestamp) -> Result<String> {
    let all = statements();
    let (_, sql) = all.iter().find(|(name, _)| *name == "stats").context("no statement `stats`")?;
    let prepare =
        format!("set jit = off; set timezone = 'UTC'; set plan_cache_mode = force_generic_plan; prepare s as {sql}");
    database.batch_execute(&prepare).await?;
    let explain = format!("explain (analyze, buffers) execute s('{since}', '{until}')");
    let rows = database.query(&explain, &[]).await?;
    let lines = rows.iter().map(|row| row.try_get::<_, String>(0)).collect::<Result<Vec<_>, _>>()?;
    Ok(lines.join("\n") + "\n")
}

/// Finished messages, evenly over the month: of a dozen sources, in the states that occur, with waits from a hundredth of
/// a second to a quarter of an hour; what statistics read of them. Without the triggers.
async fn fill(database: &tokio_postgres::Client, messages: usize) -> Result<()> {
    database
        .batch_execute(&format!(
            "set session_replication_role = replica;
             insert into messages (uid, given_uid, short_uid, source, door, verdict, priority, body, content_hash,
                                   accepted_by, accepted_at)
             select u, u, left(u, 8), 'source.bench.room' || n % 12, 'rabbitmq',
                    case when n % 500 = 0 then 'banned' when n % 300 = 0 then 'blocked' else 'accepted' end, 0,
                    'Signal lost on the main stream of studio B; the backup encoder has taken over. Report ' || n,
                    sha256(u::bytea), u,
                    date_bin('1 hour', now(), 'epoch') - interval '105 min' - n * (interval '{DAYS} days' / {messages})
             from (select n, gen_random_uuid()::text as u from generate_series(1, {messages}) n) x;
             insert into deliveries (uid, room, prio, qseq, state, cause, parts, sent, confirmed, age, expires_at,
                                     media_since)
             select uid, 'room-0', 0, nextval('queue_seq'),
                    case when random() < 0.01 then 'failed' when random() < 0.02 then 'unconfirmed' else 'confirmed' end,
                    'cause', 1, 1, 1, '1 day', accepted_at + interval '1 day', accepted_at
             from messages where verdict = 'accepted' order by accepted_at;
             insert into api_calls (at, uid, room, channel, operation, status, outcome, latency_ms, request, delivery,
                                    part, attempt, token)
             select media_since + interval '1 s' * exp(1.5 * sqrt(-2 * ln(1 - random())) * cos(6.2831853 * random())),
                    uid, room, 'groupme', 'post', 202, case state when 'failed' then 'refused' else 'posted' end, 12,
                    jsonb_build_object('text', uid), id, 1, 1, uid from deliveries order by id;
             set session_replication_role = origin;"
        ))
        .await?;
    database.batch_execute("vacuum (analyze) messages, deliveries, api_calls").await?;
    database.batch_execute("checkpoint").await?;
    Ok(())
}
