//! The plans of every statement, with ten million finished rows in mind: none reads a table that grows from end to end,
//! nor a whole index of one.
use serde_json::Value;

use crate::station::{connect, new_database};

/// Tables that grow with every message. The others have a row for each room, lane, function or minute.
const GROW: [&str; 8] =
    ["messages", "deliveries", "parts", "pictures", "delivery_events", "api_calls", "groupme_callbacks", "rejected"];

/// Indexes that hold only what is not finished, and are read whole.
const SMALL: [&str; 5] =
    ["deliveries_expiry", "deliveries_left", "deliveries_untold", "messages_answer", "parts_in_the_air"];

/// What must be looked up in an index that begins with something else: all that a room without callbacks ever posted is
/// `sent`.
const BY: [(&str, &str); 1] = [("parts_sent", "claimed_at")];

/// Indexes in the order of time.
const INDEXES_OF_TIME: [&str; 3] = ["api_calls_at", "groupme_callbacks_received_at", "messages_received_at"];

/// Finished rows that are really there; a planner told that there are five hundred times as many plans as for ten
/// million.
const ROWS: usize = 20_000;
const TIMES: usize = 500;

async fn filled() -> tokio_postgres::Client {
    let db = connect(&new_database().await).await;
    db.batch_execute(&format!(
        "set session_replication_role = replica;
         insert into rooms (name, channel, group_id, fingerprint, pace, burst, confirm, readable, on_unknown, heard_at,
                            confirmed_post)
         select 'room-' || r, 'groupme', 'group-' || r, '\\x00', '1 s', 3, true, true, 'resend', now(), {ROWS}
         from generate_series(0, 9) r;
         insert into lanes (room, posts) select 'room-' || r, {ROWS} from generate_series(0, 9) r;
         insert into messages (uid, given_uid, short_uid, source, door, sent_by, verdict, priority, body, content_hash,
                               accepted_by, accepted_at, answer)
         select u, u, left(u, 8), (array['source.twilio.sms.incoming', 'source.standard', 'source.weather'])[n % 3 + 1], 'rabbitmq', 'key-' || n % 5, 'accepted', n % 3, 'body ' || n,
                sha256(u::bytea), u, now() - n * interval '1 min', case when n < 20 then 'due' when n % 2 = 0 then 'given' end
         from (select n, gen_random_uuid()::text as u from generate_series(0, {ROWS} - 1) n) x;
         insert into deliveries (uid, room, prio, qseq, state, cause, parts, sent, confirmed, age, expires_at, deliver_by)
         select uid, 'room-' || n % 10, n % 3, n,
                case when n < 200 then (array['queued', 'sending', 'scheduled', 'held'])[n % 4 + 1]
                     when n % 1000 = 0 then 'failed' when n % 500 = 0 then 'expired' when n % 3 = 0 then 'sent'
                     else 'confirmed' end,
                'cause', 1, 1, 1, '1 day', accepted_at + interval '1 day', case when n % 2 = 0 then accepted_at end
         from (select uid, accepted_at, row_number() over (order by accepted_at desc) as n from messages) m;
         insert into parts (delivery, n, room, kind, text, fingerprint, state, attempt, claimed_at)
         select id, 1, room, 'text', 'text', sha256(id::text::bytea),
                case state when 'queued' then 'waiting' when 'sending' then 'posting' when 'sent' then 'sent'
                           when 'confirmed' then 'confirmed' else 'failed' end, 1, expires_at - interval '1 day'
         from deliveries;
         insert into pictures (uid, channel, n, url) select uid, 'groupme', 1, 'url' from messages;
         update deliveries set awaits_media = true where id in (select id from deliveries where state = 'queued' limit 20);
         insert into delivery_events (delivery, at, old_state, new_state, cause)
         select id, expires_at, s.old_state, s.new_state, 'cause' from deliveries,
                (values (null, 'queued'), ('queued', 'sending'), ('sending', 'sent')) s(old_state, new_state);
         insert into api_calls (at, uid, room, channel, operation, status, outcome, delivery, part, attempt, record_key)
         select expires_at, uid, room, 'groupme', 'post', 202, 'posted', id, 1, 1,
                case when id % 10 = 0 then gen_random_uuid() end
         from deliveries;
         insert into groupme_callbacks (group_id, line_id, received_at, learnt_by, sender_type, payload_sealed)
         select 'group-' || n % 10, n::text, now() - n * interval '1 min', 'callback', 'bot', '\\x00'
         from generate_series(1, {ROWS}) n;
         insert into rejected (id, at, door, reason, raw_sealed)
         select gen_random_uuid(), now() - n * interval '1 min', 'http', 'no_body', '\\x00'
         from generate_series(1, {ROWS}) n;
         analyze;
         update pg_class set reltuples = reltuples * {TIMES}
         where relkind = 'r' and relname = any('{{{}}}');
         set session_replication_role = origin;
         set plan_cache_mode = force_generic_plan; set jit = off",
        GROW.join(",")
    ))
    .await
    .unwrap();
    db
}

/// The generic plan, as the server uses it for a prepared statement that runs often.
async fn plan(db: &tokio_postgres::Client, name: &str, sql: &str) -> Value {
    db.batch_execute(&format!("prepare {name} as {sql}")).await.unwrap_or_else(|e| panic!("{name}: {e:?}"));
    let count = (1..=20).rev().find(|n| sql.contains(&format!("${n}"))).unwrap_or(0);
    let nulls = vec!["null"; count].join(", ");
    let arguments = if count == 0 { String::new() } else { format!("({nulls})") };
    let rows = db.query(&format!("explain (format json) execute {name}{arguments}"), &[]).await;
    rows.unwrap_or_else(|e| panic!("{name}: {e:?}"))[0].get(0)
}

/// What is wrong with a node of a plan and those below it.
fn faults(node: &Value, found: &mut Vec<String>) {
    let kind = node["Node Type"].as_str().unwrap_or("");
    let relation = node["Relation Name"].as_str().unwrap_or("");
    let index = node["Index Name"].as_str().unwrap_or("");
    if kind == "Seq Scan" && GROW.contains(&relation) {
        found.push(format!("reads all of {relation}"));
    }
    let of_growing = GROW.iter().any(|table| index.starts_with(table));
    if kind.contains("Index") && of_growing && node["Index Cond"].is_null() && !SMALL.contains(&index) {
        found.push(format!("reads all of {index}"));
    }
    let condition = node["Index Cond"].as_str().unwrap_or("");
    if BY.iter().any(|(name, column)| index == *name && !condition.contains(column)) {
        found.push(format!("reads too much of {index}"));
    }
    for child in node["Plans"].as_array().into_iter().flatten() {
        faults(child, found);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_statement_reads_a_growing_table_from_end_to_end() {
    let db = filled().await;
    let statements = talkback::store::statements();
    assert!(statements.len() >= 25, "{}", statements.len());
    let mut wrong = Vec::new();
    for (name, sql) in statements {
        let plan = plan(&db, name, sql).await;
        let mut found = Vec::new();
        faults(&plan[0]["Plan"], &mut found);
        if !found.is_empty() {
            let text = serde_json::to_string_pretty(&plan[0]["Plan"]).unwrap();
            wrong.push(format!("{name} {}\n{}", found.join(", "), if wrong.is_empty() { text } else { String::new() }));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Reports may ask for a time, for a message, or for what is new, and read no more than that.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_report_about_some_time_or_one_message_reads_a_growing_table_from_end_to_end() {
    let db = filled().await;
    let mut wrong = Vec::new();
    for view in ["groupme", "groupme_callbacks", "messages_received"] {
        for (name, rest) in [
            ("time", "where timestamp >= $1 and timestamp < $2"),
            ("new", "order by timestamp desc limit 50"),
            ("message", "where wbor_message_id = $1"),
        ] {
            // Whose line it is stands in what is sealed.
            if (view, name) == ("groupme_callbacks", "message") {
                continue;
            }
            let plan = plan(&db, &format!("{view}_{name}"), &format!("select * from reports.{view} {rest}")).await;
            let mut found = Vec::new();
            faults(&plan[0]["Plan"], &mut found);
            // Newest first is the order of an index: the limit ends the reading.
            found.retain(|fault| {
                name != "new" || fault.starts_with("reads all of ") && !INDEXES_OF_TIME.contains(&&fault[13..])
            });
            if !found.is_empty() {
                wrong.push(format!("{view} by {name}: {}\n{:#}", found.join(", "), plan[0]["Plan"]));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// How many rows a statement reads of deliveries, those included that it throws away.
fn rows_read(node: &Value) -> f64 {
    let figure = |name: &str| node[name].as_f64().unwrap_or(0.0);
    let of_deliveries = node["Relation Name"] == "deliveries";
    let rows = figure("Actual Loops") * (figure("Actual Rows") + figure("Rows Removed by Filter"));
    let below: f64 = node["Plans"].as_array().into_iter().flatten().map(rows_read).sum();
    below + if of_deliveries { rows } else { 0.0 }
}

/// What expired is much after a long outage; what failed is few, and asked for with each look at health.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_asks_for_what_failed_does_not_read_what_expired() {
    let db = filled().await;
    db.batch_execute(
        "set session_replication_role = replica;
         update deliveries set state = 'expired' where state in ('sent', 'confirmed') and room = 'room-1';
         update deliveries set state = 'confirmed' where state = 'failed' and room = 'room-1';
         set session_replication_role = origin",
    )
    .await
    .unwrap();
    db.batch_execute("vacuum (analyze) deliveries").await.unwrap();
    let sql = |name: &str| talkback::store::statements().into_iter().find(|(found, _)| *found == name).unwrap().1;
    for (name, arguments, at_most) in
        [("failed", "", 500.0), ("room_states", "(array['room-1'])", 500.0), ("stuck", "(7, 0)", 500.0)]
    {
        db.batch_execute(&format!("prepare {name} as {}", sql(name))).await.unwrap();
        let rows = db.query(&format!("explain (analyze, format json) execute {name}{arguments}"), &[]).await.unwrap();
        let plan: Value = rows[0].get(0);
        let read = rows_read(&plan[0]["Plan"]);
        assert!(read <= at_most, "{name} reads {read} deliveries: {:#}", plan[0]["Plan"]);
    }
}

/// That the tests above can fail: it sees a plan that reads everything, of a table or of an index.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plan_that_reads_everything_is_seen() {
    let db = filled().await;
    for (name, sql, wanted) in [
        ("by_body", "select uid from messages where body = $1", "reads all of messages"),
        (
            "by_a_clock_that_runs",
            "select uid from messages where accepted_at < clock_timestamp() - make_interval(secs => $1)
             order by accepted_at limit 10",
            "reads all of messages_accepted_at",
        ),
    ] {
        let mut found = Vec::new();
        faults(&plan(&db, name, sql).await[0]["Plan"], &mut found);
        assert_eq!(found, [wanted]);
    }
}
