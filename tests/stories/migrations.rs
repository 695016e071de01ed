//! Migrations: from nothing, again, two at once; and what the tables say about themselves.
use std::time::Duration;

use lambda_runtime::{Context, LambdaEvent};
use secrecy::SecretString;
use serde_json::{Value, json};
use talkback::broker::QUEUE;
use talkback::store::Store;
use tokio::time::timeout;
use uuid::Uuid;

use crate::station::{Setup, Station, connect, required};
use crate::vhost::Vhost;

/// A database with nothing in it.
pub async fn empty() -> String {
    let name = format!("story_{}", Uuid::new_v4().simple());
    let url = required("TALKBACK_TEST_DATABASE_URL");
    connect(&url).await.batch_execute(&format!("create database {name}")).await.unwrap();
    let (server, _) = url.rsplit_once('/').unwrap();
    format!("{server}/{name}")
}

fn store(url: &str) -> Store {
    talkback::tls::install_ring();
    Store::new(&SecretString::from(url.to_owned()), None, Duration::from_secs(20), 1).unwrap()
}

/// Everything that is defined, with the numbers that the server gave it.
async fn defined(url: &str) -> Vec<String> {
    let db = connect(url).await;
    let query = "
        select c.oid || ' ' || c.relname || ' ' || c.relkind::text || ' ' || coalesce(a.attname, '') || ' '
               || coalesce(format_type(a.atttypid, a.atttypmod), '')
        from pg_class c join pg_namespace n on n.oid = c.relnamespace left join pg_attribute a on a.attrelid = c.oid
        where n.nspname = 'public' order by 1";
    db.query(query, &[]).await.unwrap().iter().map(|row| row.get(0)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_empty_database_is_migrated_and_doing_it_again_changes_nothing() {
    let url = empty().await;
    let applied = store(&url).migrate().await.unwrap();
    assert!(applied.iter().any(|name| name.contains("relay")), "{applied:?}");
    let before = defined(&url).await;
    assert!(before.iter().any(|line| line.contains("messages r uid text")));
    assert!(store(&url).migrate().await.unwrap().is_empty());
    assert_eq!(defined(&url).await, before);
    store(&url).writable().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_that_migrate_at_once_wait_for_each_other() {
    let url = empty().await;
    let (one, two) = (store(&url), store(&url));
    let (one, two) = tokio::join!(one.migrate(), two.migrate());
    let (one, two) = (one.unwrap(), two.unwrap());
    assert!(one.is_empty() != two.is_empty(), "{one:?} {two:?}");
    // And the lock is why.
    let holder = connect(&url).await;
    let lock = i64::from_be_bytes(*b"talkback");
    holder.execute("select pg_advisory_lock($1)", &[&lock]).await.unwrap();
    let waits = store(&url);
    let mut waiting = Box::pin(waits.migrate());
    assert!(timeout(Duration::from_millis(300), &mut waiting).await.is_err(), "it waits");
    holder.execute("select pg_advisory_unlock($1)", &[&lock]).await.unwrap();
    assert!(waiting.await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_is_not_migrated_is_said_to_be_so() {
    let url = empty().await;
    let error = store(&url).writable().await.unwrap_err();
    assert!(error.to_string().contains("not migrated"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_of_another_version_is_refused_and_left_alone() {
    let url = empty().await;
    store(&url).migrate().await.unwrap();
    let db = connect(&url).await;
    db.execute("update refinery_schema_history set checksum = '1'", &[]).await.unwrap();
    let before = defined(&url).await;
    let error = store(&url).migrate().await.unwrap_err();
    assert!(error.to_string().contains("other migrations"), "{error}");
    assert_eq!(defined(&url).await, before);
}

/// What needs no word, in whichever table it stands.
const SELF_EVIDENT: [&str; 19] = [
    "id",
    "uid",
    "room",
    "name",
    "state",
    "at",
    "delivery",
    "new_state",
    "text",
    "minute",
    "reason",
    "count",
    "function",
    "last_ran_at",
    "group_id",
    "received_at",
    "accepted_at",
    "state_since",
    "source",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_table_and_every_column_that_needs_it_is_explained() {
    let station = Station::open().await;
    let tables = "
        select relname::text from pg_class c join pg_namespace n on n.oid = c.relnamespace
        where n.nspname = 'public' and relkind in ('r', 'S') and relname not like '%\\_id\\_seq'
          and relname <> 'refinery_schema_history' and obj_description(c.oid, 'pg_class') is null";
    assert!(station.column(tables).await.is_empty(), "tables without a comment");
    let columns = format!(
        "select c.relname || '.' || a.attname
         from pg_class c join pg_namespace n on n.oid = c.relnamespace
         join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
         where n.nspname = 'public' and c.relkind = 'r' and c.relname <> 'refinery_schema_history'
           and col_description(c.oid, a.attnum) is null and a.attname <> all ('{{{}}}')",
        SELF_EVIDENT.join(",")
    );
    assert_eq!(station.column(&columns).await, Vec::<String>::new(), "columns without a comment");
    station.end().await;
}

async fn migrate(station: &Station, payload: Value) -> Result<Value, migrate::MigrateError> {
    let event = LambdaEvent::new(payload, Context::default());
    migrate::handle(&station.relay("migrate"), event).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn migrate_declares_the_topology_unless_told_not_to() {
    let vhost = Vhost::new().await;
    let mut station = Station::with(Setup { vars: vec![("AMQP_URL", vhost.url())], ..Setup::default() }).await;
    let answer = migrate(&station, json!({ "topology": false })).await.unwrap();
    assert_eq!(answer, json!({ "applied": [], "topology": false }));
    assert!(vhost.broker.depth(QUEUE).await.is_err(), "nothing was declared");
    for payload in [json!({}), Value::Null, json!({ "topology": true })] {
        assert_eq!(migrate(&station, payload).await.unwrap()["topology"], true);
        assert_eq!(vhost.broker.depth(QUEUE).await.unwrap(), 0);
    }
    assert!(migrate(&station, json!({ "topology": "no" })).await.is_err());
    station.vars.remove("AMQP_URL");
    station.settings = talkback::config::Settings::from_vars(&station.vars).unwrap();
    let error = migrate(&station, json!({})).await.unwrap_err();
    assert!(error.to_string().contains("AMQP_URL"), "{error}");
    migrate(&station, json!({ "topology": false })).await.unwrap();
    station.end().await;
    vhost.gone().await;
}
