//! `GET /health`: whether a message sent now would be stored; more only for who has a key.
use serde_json::{Value, json};
use talkback::config::Settings;

use crate::send_door::{Answer, ask, send_as, station};
use crate::station::{KEY, Station};

pub async fn health(station: &Station, key: Option<&str>) -> Answer {
    let bearer = key.map(|key| format!("Bearer {key}"));
    let headers: Vec<(&str, &str)> = bearer.iter().map(|bearer| ("authorization", bearer.as_str())).collect();
    ask(&station.relay("send"), "GET", "/health", &headers, "").await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_key_health_is_one_word() {
    let station = station().await;
    for key in [None, Some("wrong")] {
        let answer = health(&station, key).await;
        assert_eq!((answer.status, answer.body), (200, json!({ "status": "ok" })));
    }
    assert_eq!(ask(&station.relay("send"), "GET", "/", &[], "").await.body, json!({ "status": "ok" }));
    station.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_a_key_health_tells_how_everything_is() {
    let mut station = station().await;
    let db = station.db().await;
    db.batch_execute(
        "update lanes set paused_until = clock_timestamp() + interval '10 min', pause_cause = 'HTTP 429';
         insert into functions_seen values ('rabbitmq-consumer', clock_timestamp() - interval '90 s')",
    )
    .await
    .unwrap();
    assert_eq!(send_as(&station.relay("send"), KEY, &json!({ "body": "hello" })).await.body["state"], "queued");
    let answer = health(&station, Some(KEY)).await;
    let newest: i32 =
        station.column("select max(version)::text from refinery_schema_history").await[0].parse().unwrap();
    assert_eq!((answer.status, &answer.body["status"]), (200, &json!("ok")));
    assert_eq!(
        (&answer.body["database"], &answer.body["broker"]),
        (&json!({ "status": "ok", "migration": newest, "wanted": newest }), &json!({ "status": "not configured" }))
    );
    let room = &answer.body["rooms"][0];
    assert!(room.as_object().unwrap().contains_key("last_callback_s"), "{room}");
    assert_eq!((&room["room"], &room["state"], &room["queued"]), (&json!("staff"), &json!("open"), &json!(1)));
    assert_eq!((&room["reason"], &room["trouble"]), (&json!("HTTP 429"), &json!(0)));
    assert!(room["oldest_s"].as_f64().unwrap() >= 0.0);
    assert!(room["paused_until"].as_str().unwrap().parse::<jiff::Timestamp>().unwrap() > jiff::Timestamp::now());
    let functions = &answer.body["functions"];
    assert!(functions["rabbitmq-consumer"]["last_ran_s"].as_f64().unwrap() >= 90.0);
    assert_eq!(functions["dispatcher"]["last_ran_s"], Value::Null, "it never ran");
    db.batch_execute("update lanes set paused_until = null").await.unwrap();
    station.start_dispatcher();
    station.until("select state from deliveries", &["confirmed"]).await;
    let after = health(&station, Some(KEY)).await;
    assert!(after.body["functions"]["dispatcher"]["last_ran_s"].is_number());
    assert_eq!((&after.body["rooms"][0]["queued"], &after.body["rooms"][0]["oldest_s"]), (&json!(0), &Value::Null));
    station.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_is_away_is_told_and_does_not_make_the_door_unwell() {
    let mut station = station().await;
    station.vars.insert("AMQP_URL".into(), "amqp://guest:pa55word@127.0.0.1:1/%2f".into());
    station.settings = Settings::from_vars(&station.vars).unwrap();
    let answer = health(&station, Some(KEY)).await;
    assert_eq!((answer.status, &answer.body["broker"]["status"]), (200, &json!("unavailable")));
    assert!(answer.body["broker"]["reason"].is_string() && !answer.body.to_string().contains("pa55word"));
    station.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_cannot_be_written_makes_the_door_unwell() {
    let mut station = station().await;
    let name = station.database_url.rsplit_once('/').unwrap().1.to_owned();
    station
        .db()
        .await
        .batch_execute(&format!("alter database {name} set default_transaction_read_only = on"))
        .await
        .unwrap();
    let read_only = health(&station, Some(KEY)).await;
    assert_eq!(
        (read_only.status, &read_only.body["database"]["status"]),
        (503, &json!("unavailable")),
        "{read_only:?}"
    );
    assert!(read_only.body["database"]["reason"].is_string());
    station.vars.insert("DATABASE_URL".into(), "postgres://nobody:pa55word@127.0.0.1:1/nowhere".into());
    station.settings = Settings::from_vars(&station.vars).unwrap();
    for key in [None, Some(KEY)] {
        let away = health(&station, key).await;
        assert_eq!((away.status, &away.body["status"]), (503, &json!("unavailable")));
        assert!(!away.body.to_string().contains("pa55word"));
        assert_eq!(away.body.as_object().unwrap().len(), if key.is_some() { 3 } else { 1 });
    }
    station.end().await;
}
