//! What servers say when they refuse: Postgres quotes values and whole rows in messages and details, the broker's
//! client its address.
use std::io::Write as _;
use std::net::TcpListener;
use std::time::Duration;

use serde_json::json;
use talkback::broker::{Broker, Limits};
use talkback::store::{Store, StoreError};
use tokio_postgres::types::ToSql;

use super::{HIDDEN, SECRET, assert_error_silent, assert_log_silent, assert_silent, poisons};

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// A database of its own on the server that tests share.
async fn database() -> Store {
    talkback::tls::install_ring();
    let url = std::env::var("TALKBACK_TEST_DATABASE_URL").expect("TALKBACK_TEST_DATABASE_URL: run `cargo xtask test`");
    let name = format!("no_secrets_{}", uuid::Uuid::new_v4().simple());
    let patience = Duration::from_secs(30);
    let admin = Store::new(&url.clone().into(), None, patience, 1).unwrap();
    admin.connection().await.unwrap().batch_execute(&format!("create database {name}")).await.unwrap();
    let (server, _) = url.rsplit_once('/').unwrap();
    let store = Store::new(&format!("{server}/{name}").into(), None, patience, 1).unwrap();
    store.migrate().await.unwrap();
    store
}

#[test]
fn what_postgres_refuses_is_not_quoted() {
    runtime().block_on(async {
        let store = database().await;
        let connection = store.connection().await.unwrap();
        connection.batch_execute("create table secrets (s text primary key, n int check (n > 0))").await.unwrap();
        for poison in poisons() {
            let insert = "insert into secrets values ($1, 1)";
            connection.execute(insert, &[&poison]).await.unwrap();
            let row = "insert into secrets values ($1, -1)";
            let cast = "select ($1::text)::uuid";
            let raise = format!(
                "do $$ begin raise exception 'x %', '{poison}' using detail = '{poison}', hint = '{poison}'; end $$"
            );
            let params: [&(dyn ToSql + Sync); 1] = [&poison];
            let errors = [
                connection.execute(insert, &params).await.unwrap_err(),
                connection.execute(row, &params).await.unwrap_err(),
                connection.execute(cast, &params).await.unwrap_err(),
                connection.execute(&format!("select '{poison}'::int"), &[]).await.unwrap_err(),
                connection.execute(&raise, &[]).await.unwrap_err(),
                connection.query_one(insert.replace("secrets", "nowhere").as_str(), &[&poison]).await.unwrap_err(),
            ];
            let quoted = errors.iter().filter(|e| HIDDEN.iter().any(|h| format!("{e:?}").contains(h))).count();
            assert!(quoted >= 4, "Postgres does quote: {errors:?}");
            for error in errors {
                assert_log_silent("tokio-postgres", &error);
                let ours = StoreError::from(error);
                assert!(matches!(ours, StoreError::Refused { .. }), "{ours:?}");
                assert_error_silent("store", &ours);
            }
        }
    });
}

/// Our own statements, fed what their tables refuse: a check's detail is the whole row.
#[test]
fn a_message_that_the_database_refuses_is_not_quoted() {
    runtime().block_on(async {
        let store = database().await;
        for poison in poisons() {
            let message = |field: &str, value: &str| {
                let mut message = json!({
                    "uid": "u", "given_uid": "u", "short_uid": "u", "source": "source.standard", "door": "http",
                    "verdict": "accepted", "priority": 0, "body": poison, "accepted_by": "a", "ack_url": false,
                    "deliveries": [],
                });
                message[field] = json!(value);
                json!([message])
            };
            let hash = format!("{poison}!");
            let wrong = [("verdict", &poison), ("priority", &poison), ("ack_url", &poison), ("sender_hash", &hash)];
            for (field, value) in wrong {
                let error = store.accept(&message(field, value), &[], "mark").await.unwrap_err();
                assert!(error.is_bad_input(), "{field}: {error:?}");
                assert_error_silent(field, &error);
            }
            let error = store.settle(&json!([{ "uid": "u", "status": poison }]), "mark").await.unwrap_err();
            assert_error_silent("settle", &error);
        }
    });
}

#[test]
fn a_database_that_cannot_be_reached_is_not_named_by_its_address() {
    talkback::tls::install_ring();
    runtime().block_on(async {
        for poison in poisons() {
            let word = poison.split(' ').next().unwrap();
            let patience = Duration::from_millis(300);
            let wrong = format!("postgres://u:{word}@h:port/d");
            assert_error_silent("address", &Store::new(&wrong.into(), None, patience, 1).unwrap_err());
            let nobody = format!("postgres://u:{SECRET}@127.0.0.1:1/d");
            let store = Store::new(&nobody.into(), None, patience, 1).unwrap();
            assert_silent("store", &format!("{store:?}"));
            let told =
                logged_async(async { assert_error_silent("connect", &store.writable().await.unwrap_err()) }).await;
            assert_silent("the log", &told);
        }
    });
}

#[test]
fn a_broker_that_cannot_be_reached_is_not_named_by_its_address() {
    talkback::tls::install_ring();
    // One port that nobody listens on any more, one where no broker answers, and one where something else does.
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let ports = [closed, silent.local_addr().unwrap().port(), other.local_addr().unwrap().port()];
    let server = std::thread::spawn(move || {
        let (mut stream, _) = other.accept().unwrap();
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").unwrap();
    });
    runtime().block_on(async {
        for port in ports {
            let limit = Duration::from_millis(500);
            let url = format!("amqp://{SECRET}:{SECRET}@127.0.0.1:{port}/{SECRET}");
            let broker = Broker::new(url.into(), "test").unwrap().with_limits(Limits { connect: limit, answer: limit });
            assert_silent("broker", &format!("{broker:?}"));
            let told = logged_async(async {
                let error = broker.publish("", "q", b"body", &Default::default(), true).await.unwrap_err();
                assert!(error.is_connection(), "{error:?}");
                assert_error_silent("connect", &error);
            })
            .await;
            assert_silent("the log", &told);
        }
        for poison in poisons() {
            let error = Broker::new(format!("{poison}://u:{poison}@h/").into(), "test").unwrap_err();
            assert_error_silent("address", &error);
            let long = poison.repeat(20);
            let broker = Broker::new("amqp://127.0.0.1:1".to_owned().into(), "test").unwrap();
            let error = broker.publish(&long, &long, b"body", &Default::default(), true).await.unwrap_err();
            assert_error_silent("too long", &error);
        }
    });
    server.join().unwrap();
}

/// What is logged while something happens, at its most talkative.
async fn logged_async(story: impl Future<Output = ()>) -> String {
    use tracing_subscriber::layer::SubscriberExt as _;
    let capture = super::Capture::default();
    let writer = capture.clone();
    let filter = "trace".parse::<tracing_subscriber::filter::Targets>().unwrap();
    let layer = talkback::telemetry::layer("no-secrets", filter, move || writer.clone());
    let hearing = tracing::subscriber::set_default(tracing_subscriber::registry().with(layer));
    story.await;
    drop(hearing);
    let text = capture.0.lock().unwrap().clone();
    String::from_utf8(text).unwrap()
}
