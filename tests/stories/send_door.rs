//! `POST /send`: what is taken in, what is answered, and what is refused.
use std::time::Duration;

use groupme_sim::{Fault, What};
use lambda_runtime::{Context, LambdaEvent};
use serde_json::{Value, json};
use talkback::relay::Relay;
use uuid::Uuid;

use crate::openapi;
use crate::station::{GROUP, KEY, Setup, Station, dressed, sha256, usual_rooms};

pub const OTHER_KEY: &str = "another-key-of-the-tests";
pub const PLAIN_KEY: &str = "a-key-without-words";

/// An answer of the function `send`.
#[derive(Debug)]
pub struct Answer {
    pub status: u64,
    pub headers: Value,
    pub body: Value,
}

impl Answer {
    /// Asserts that it is a problem with this status and exactly these fields.
    pub fn is_problem(&self, status: u64, fields: &[&str]) {
        let named = self.body["fields"].as_array().map_or(json!([]), |fields| json!(fields));
        assert_eq!((self.status, &named), (status, &json!(fields)), "{self:?}");
        assert_eq!(self.headers["content-type"], "application/problem+json", "{self:?}");
        assert_eq!((&self.body["status"], &self.body["type"]), (&json!(status), &json!("about:blank")));
    }
}

/// Invokes `send` as a function URL would; what it answers is what `infra/openapi.yaml` tells of.
pub async fn ask(relay: &Relay, method: &str, address: &str, headers: &[(&str, &str)], body: &str) -> Answer {
    let (path, query) = address.split_once('?').unwrap_or((address, ""));
    let headers: serde_json::Map<String, Value> =
        headers.iter().map(|(name, value)| ((*name).to_owned(), Value::from(*value))).collect();
    let event = json!({
        "version": "2.0", "rawPath": path, "rawQueryString": query, "headers": headers, "body": body,
        "requestContext": { "http": { "method": method }, "stage": "$default" }, "isBase64Encoded": false,
    });
    let answer = send::invoke(relay, LambdaEvent::new(event, Context::default())).await;
    let text = answer["body"].as_str().unwrap();
    let answer = Answer {
        status: answer["statusCode"].as_u64().unwrap(),
        headers: answer["headers"].clone(),
        body: if text.is_empty() { Value::Null } else { serde_json::from_str(text).unwrap() },
    };
    openapi::check(method, path, &answer);
    answer
}

/// Sends a document with a key in its header.
pub async fn send_as(relay: &Relay, key: &str, document: &Value) -> Answer {
    let bearer = format!("Bearer {key}");
    let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
    ask(relay, "POST", "/send", &headers, &document.to_string()).await
}

async fn send(relay: &Relay, document: &Value) -> Answer {
    send_as(relay, KEY, document).await
}

/// A station with three keys, and routes that let some sources through, block one, and know nothing of others.
pub async fn station() -> Station {
    let keys = [
        format!("tests:{}:#:urgent:rooms", sha256(KEY)),
        format!("other:{}:#:ok200", sha256(OTHER_KEY)),
        format!("plain:{}", sha256(PLAIN_KEY)),
    ];
    let blocked = "[[routes]]\npattern = \"source.quiet\"\naction = \"block\"\n";
    let routes = usual_rooms("20ms", 3).replace("pattern = \"source.#\"", "pattern = \"source.standard.#\"");
    let rooms = routes.replacen("[[routes]]", &format!("{blocked}[[routes]]"), 1);
    Station::with(Setup { rooms, vars: vec![("TALKBACK_SEND_KEYS", keys.join(","))], ..Setup::default() }).await
}

async fn count(station: &Station, query: &str) -> i64 {
    station.db().await.query_one(query, &[]).await.unwrap().get(0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sent_message_is_in_the_room_when_its_sender_is_answered() {
    let station = station().await;
    let relay = station.relay("send");
    let uid = Uuid::new_v4().to_string();
    let answer = send(&relay, &json!({ "body": "hello", "uid": uid })).await;
    assert_eq!((answer.status, &answer.headers["content-type"]), (202, &json!("application/json")), "{answer:?}");
    assert_eq!((&answer.body["uid"], &answer.body["short_uid"]), (&json!(uid), &json!(uid.split('-').next())));
    let state = answer.body["state"].as_str().unwrap();
    assert!(["sent", "confirmed"].contains(&state), "{answer:?}");
    assert_eq!(answer.body["deliveries"], json!([{ "room": "staff", "state": state, "parts": 1 }]));
    assert_eq!(answer.headers["cache-control"], "no-store");
    assert_eq!(station.texts(), [dressed("hello", &uid)]);
    station.until("select sent_by from messages", &["tests"]).await;
    station.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_stations_programs_send_with_a_password_that_is_kept_nowhere() {
    let station = station().await;
    let relay = station.relay("send");
    let document = json!({ "password": PLAIN_KEY, "body": "hello", "source": "standard", "wbor_message_id": 7 });
    let headers = [("content-type", "application/json")];
    let answer = ask(&relay, "POST", "/send", &headers, &document.to_string()).await;
    assert_eq!((answer.status, &answer.body["uid"]), (202, &json!("7")), "{answer:?}");
    assert_eq!(count(&station, "select count(*) from messages where sent_by = 'plain'").await, 1);
    let rows = "select string_agg(m::text, ' ') from (select to_jsonb(messages) m from messages union all
                select to_jsonb(api_calls) from api_calls union all select to_jsonb(rejected) from rejected) r";
    let all: String = station.db().await.query_one(rows, &[]).await.unwrap().get(0);
    assert!(!all.contains(PLAIN_KEY) && all.contains("hello"));
    station.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_a_missing_and_a_doubtful_key_get_the_same_answer_and_store_nothing() {
    let station = station().await;
    let relay = station.relay("send");
    let mut answers = Vec::new();
    for (bearer, password) in [
        (None, None),
        (Some("wrong"), None),
        (None, Some("wrong")),
        (None, Some("")),
        (Some(KEY), Some(OTHER_KEY)),
        (Some("wrong"), Some(KEY)),
    ] {
        // Also that there is no such field is not for everybody to know.
        let document = json!({ "body": "hello", "password": password, "surprise": 1 }).to_string();
        let bearer = bearer.map(|key: &str| format!("Bearer {key}"));
        let mut headers = vec![("content-type", "application/json")];
        headers.extend(bearer.as_deref().map(|bearer| ("authorization", bearer)));
        let answer = ask(&relay, "POST", "/send", &headers, &document).await;
        answer.is_problem(401, &[]);
        assert!(answer.headers["www-authenticate"].as_str().unwrap().starts_with("Bearer"));
        answers.push(answer.body);
    }
    answers.dedup();
    assert_eq!(answers.len(), 1);
    assert_eq!(count(&station, "select count(*) from messages").await, 0);
    station.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repeated_request_posts_nothing_twice_and_tells_the_state() {
    let station = station().await;
    let relay = station.relay("send");
    let document = json!({ "body": "hello", "uid": "alarm-7" });
    assert_eq!(send(&relay, &document).await.status, 202);
    let bearer = format!("Bearer {KEY}");
    let headers = [
        ("authorization", bearer.as_str()),
        ("content-type", "application/json; charset=utf-8"),
        ("idempotency-key", "\"alarm-7\""),
    ];
    station.until("select state from deliveries", &["confirmed"]).await;
    let again = ask(&relay, "POST", "/send", &headers, "{\"body\": \"hello\"}").await;
    assert_eq!(
        (again.status, &again.body["duplicate"], &again.body["state"]),
        (200, &json!(true), &json!("confirmed"))
    );
    assert_eq!((&again.body["uid"], &again.body["short_uid"]), (&json!("alarm-7"), &json!("alarm")));
    assert_eq!(again.body["deliveries"][0]["parts"], 1);
    assert_eq!(station.texts().len(), 1);
    station.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_uid_that_stands_for_something_else_is_refused_without_detail() {
    let station = station().await;
    let relay = station.relay("send");
    let document = json!({ "body": "hello", "uid": "7" });
    assert_eq!(send(&relay, &document).await.status, 202);
    let other_content = send(&relay, &json!({ "body": "good bye", "uid": "7" })).await;
    let other_key = send_as(&relay, OTHER_KEY, &document).await;
    for answer in [&other_content, &other_key] {
        answer.is_problem(409, &["uid"]);
    }
    assert_eq!(other_content.body, other_key.body);
    assert_eq!(station.texts().len(), 1);
    station.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_marked_ok200_is_answered_200() {
    let station = station().await;
    let answer = send_as(&station.relay("send"), OTHER_KEY, &json!({ "body": "hello" })).await;
    assert_eq!((answer.status, &answer.body["duplicate"]), (200, &Value::Null), "{answer:?}");
    station.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_key_may_not_ask_for_is_refused_by_the_field() {
    let station = station().await;
    let relay = station.relay("send");
    for (document, field) in [
        (json!({ "body": "b", "source": "ups" }), "source"),
        (json!({ "body": "b", "priority": "high" }), "priority"),
        (json!({ "body": "b", "priority": "urgent" }), "priority"),
        (json!({ "body": "b", "rooms": ["staff"] }), "rooms"),
        // Which rooms there are is not for this key to know.
        (json!({ "body": "b", "rooms": ["no-such-room"] }), "rooms"),
    ] {
        send_as(&relay, PLAIN_KEY, &document).await.is_problem(403, &[field]);
    }
    for source in ["twilio.sms.incoming", "groupme.msg", "talkback.expired"] {
        send(&relay, &json!({ "body": "b", "source": source })).await.is_problem(403, &["source"]);
    }
    let unknown = send(&relay, &json!({ "body": "b", "rooms": ["staff", "no-such-room"] })).await;
    unknown.is_problem(404, &["rooms"]);
    assert!(unknown.body["detail"].as_str().unwrap().contains("no-such-room"));
    assert_eq!(count(&station, "select count(*) from messages").await, 0);
    let granted = json!({ "body": "b", "priority": "urgent", "rooms": ["staff"] });
    assert_eq!(send(&relay, &granted).await.status, 202);
    assert_eq!(count(&station, "select prio::bigint from deliveries").await, 2);
    station.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_other_fault_of_a_request_has_its_status() {
    let station = station().await;
    let relay = station.relay("send");
    let bearer = format!("Bearer {KEY}");
    let json_of = |document: Value| document.to_string();
    let large = json_of(json!({ "body": "x".repeat(64 * 1024) }));
    for (content_type, body, status) in [
        ("text/plain", json_of(json!({ "body": "b" })), 415),
        ("application/json", large, 413),
        ("application/json", "{".to_owned(), 400),
        ("application/json", "[]".to_owned(), 400),
        ("application/json", json_of(json!({})), 400),
        ("application/json", json_of(json!({ "body": "b", "surprise": 1 })), 400),
        ("application/json", json_of(json!({ "body": "b", "expires_at": "2020-01-01T00:00:00Z" })), 400),
    ] {
        let headers = [("authorization", bearer.as_str()), ("content-type", content_type)];
        let answer = ask(&relay, "POST", "/send", &headers, &body).await;
        assert_eq!((answer.status, &answer.headers["content-type"]), (status, &json!("application/problem+json")));
    }
    for (method, path, allow) in
        [("GET", "/send", "POST"), ("POST", "/health", "GET, HEAD"), ("PUT", "/messages/7", "GET, HEAD")]
    {
        let answer = ask(&relay, method, path, &[], "").await;
        answer.is_problem(405, &[]);
        assert_eq!(answer.headers["allow"], allow);
    }
    ask(&relay, "GET", "/nothing", &[], "").await.is_problem(404, &[]);
    assert_eq!(count(&station, "select count(*) from messages").await, 0);
    station.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_blocked_source_is_answered_honestly_and_one_without_a_route_is_refused_and_kept() {
    let station = station().await;
    let relay = station.relay("send");
    let blocked = send(&relay, &json!({ "body": "b", "source": "quiet" })).await;
    assert_eq!(
        (blocked.status, &blocked.body["state"], &blocked.body["deliveries"]),
        (202, &json!("blocked"), &json!([]))
    );
    let document = json!({ "body": "b", "source": "nowhere", "uid": "7" });
    // A repeat is told no more than the first time that all is well.
    for _ in 0..2 {
        send(&relay, &document).await.is_problem(400, &["source"]);
    }
    station
        .until(
            "select verdict || ' ' || verdict_reason from messages order by 1",
            &["blocked route", "rejected no_route"],
        )
        .await;
    assert!(station.texts().is_empty());
    station.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repeat_after_its_expiry_is_still_a_repeat() {
    let station = station().await;
    let relay = station.relay("send");
    let expires_at = jiff::Timestamp::now() + Duration::from_secs(3);
    let document = json!({ "body": "b", "uid": "7", "expires_at": expires_at.to_string() });
    assert_eq!(send(&relay, &document).await.status, 202);
    station.until("select (expires_at < clock_timestamp())::text from deliveries", &["true"]).await;
    let again = send(&relay, &document).await;
    assert_eq!((again.status, &again.body["duplicate"]), (200, &json!(true)), "{again:?}");
    let late = json!({ "body": "b", "uid": "8", "expires_at": expires_at.to_string() });
    send(&relay, &late).await.is_problem(400, &["expires_at"]);
    station.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_finds_the_room_taken_waits_for_the_first_post_all_the_same() {
    let station = station().await;
    station.sim.fault(Fault::always(What::Slow(Duration::from_millis(150))));
    let (first, second) = (station.relay("send"), station.relay("send"));
    let (one, two) = (json!({ "body": "one" }), json!({ "body": "two" }));
    let (one, two) = tokio::join!(send(&first, &one), send(&second, &two));
    for answer in [one, two] {
        let state = answer.body["state"].as_str().unwrap();
        assert!(["sent", "confirmed"].contains(&state), "{answer:?}");
    }
    station.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_is_stored_is_answered_202_whatever_becomes_of_its_post() {
    let mut station = station().await;
    let relay = station.relay("send");
    relay.wake().await.unwrap();
    let db = station.db().await;
    db.batch_execute("alter table lanes rename to lanes_away").await.unwrap();
    let answer = send(&relay, &json!({ "body": "hello" })).await;
    assert_eq!((answer.status, &answer.body["state"]), (202, &json!("queued")), "{answer:?}");
    db.batch_execute("alter table lanes_away rename to lanes").await.unwrap();
    station.start_dispatcher();
    station.until("select state from deliveries", &["confirmed"]).await;
    station.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_its_database_the_door_says_when_to_come_again() {
    let mut station = station().await;
    station.vars.insert("DATABASE_URL".into(), "postgres://nobody@127.0.0.1:1/nowhere".into());
    station.settings = talkback::config::Settings::from_vars(&station.vars).unwrap();
    let answer = send(&station.relay("send"), &json!({ "body": "hello" })).await;
    answer.is_problem(503, &[]);
    assert_eq!(answer.headers["retry-after"], "5");
    station.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_any_key_the_function_refuses_to_serve_and_says_so() {
    let mut station = station().await;
    station.vars.remove("TALKBACK_SEND_KEYS");
    station.settings = talkback::config::Settings::from_vars(&station.vars).unwrap();
    let relay = station.relay("send");
    for answer in [send(&relay, &json!({ "body": "hello" })).await, ask(&relay, "GET", "/messages/7", &[], "").await] {
        answer.is_problem(503, &[]);
        assert!(answer.body["detail"].as_str().unwrap().contains("TALKBACK_SEND_KEYS"));
        assert_eq!(answer.headers["retry-after"], "60");
    }
    let health = ask(&relay, "GET", "/health", &[], "").await;
    assert_eq!((health.status, health.body), (503, json!({ "status": "unavailable" })));
    station.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pythons_half_surrogates_nul_and_emoji_reach_the_room_clean() {
    let station = station().await;
    let relay = station.relay("send");
    let bearer = format!("Bearer {KEY}");
    let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
    let body = r#"{"body": "a\ud83d b\u0000 \ud83d\ude00 👩‍🚀", "uid": "7"}"#;
    let answer = ask(&relay, "POST", "/send", &headers, body).await;
    assert_eq!(answer.status, 202, "{answer:?}");
    assert_eq!(station.texts(), [dressed("a\u{FFFD} b\u{FFFD} 😀 👩‍🚀", "7")]);
    assert_eq!(station.sim.lines(GROUP).len(), 1);
    station.end().await;
}
