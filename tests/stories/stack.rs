//! A stack of CloudFormation asks `migrate`, over a real HTTP server in place of the signed address: it is answered
//! whatever happens, and hears nothing that it must not.
use std::collections::HashMap;
use std::collections::VecDeque;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use axum::http::{HeaderMap, Method, StatusCode, Uri};
use lambda_runtime::{Context, LambdaEvent};
use migrate::MigrateError;
use serde_json::{Value, json};
use talkback::broker::QUEUE;
use talkback::config::Settings;
use talkback::relay::Relay;
use talkback::start::StartError;
use tokio::net::TcpListener;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::time::timeout;

use crate::migrations::empty;
use crate::privacy::Capture;
use crate::send_door::send_as;
use crate::station::{KEY, PATIENCE, Station, connect, required};
use crate::vhost::Vhost;

const SIGNATURE: &str = "AWSAccessKeyId=AKIA0EXAMPLE&Signature=s1gnaturE%2Fs1gnaturE%3D";

/// Where a stack waits for its answer.
struct Bucket {
    url: String,
    asked: UnboundedReceiver<(Method, Uri, HeaderMap, Value)>,
}

impl Bucket {
    /// Answers with these statuses, then 200.
    async fn open(statuses: &[u16]) -> Self {
        let (tell, asked) = unbounded_channel();
        let statuses = Arc::new(Mutex::new(statuses.iter().copied().collect::<VecDeque<u16>>()));
        let app = axum::Router::new().fallback(move |method: Method, uri: Uri, headers: HeaderMap, body: String| {
            tell.send((method, uri, headers, serde_json::from_str(&body).unwrap())).unwrap();
            let status = statuses.lock().unwrap().pop_front().unwrap_or(200);
            async move { StatusCode::from_u16(status).unwrap() }
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/response%7Cof%7Cthe%7Cstack?{SIGNATURE}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { url, asked }
    }

    async fn answer(&mut self) -> Value {
        let (method, uri, headers, body) = timeout(PATIENCE, self.asked.recv()).await.unwrap().unwrap();
        assert_eq!((method, uri.query()), (Method::PUT, Some(SIGNATURE)));
        assert_eq!(uri.path(), "/response%7Cof%7Cthe%7Cstack", "what is signed is left as it is");
        assert!(!headers.contains_key("content-type"), "the address is signed for none");
        assert!(body.to_string().len() < 4096);
        body
    }

    fn has_no_more(&mut self) -> bool {
        self.asked.try_recv().is_err()
    }
}

fn request(kind: &str, url: &str) -> Value {
    let mut request = json!({
        "RequestType": kind, "ResponseURL": url, "ResourceType": "Custom::Migration",
        "StackId": "arn:aws:cloudformation:us-east-1:123456789012:stack/talkback/5b918d10", "LogicalResourceId": "Migrated",
        "RequestId": "afd8d7c5-9376-4013-8b3b-307517b8719e",
        "ServiceToken": "arn:aws:lambda:us-east-1:123456789012:function:talkback-migrate",
        "ResourceProperties": { "ServiceToken": "arn:aws:lambda:us-east-1:123456789012:function:talkback-migrate", "Release": "v2" },
    });
    if kind != "Create" {
        request["PhysicalResourceId"] = json!("talkback-migration");
        request["OldResourceProperties"] = json!({ "Release": "v1" });
    }
    request
}

fn event(payload: Value) -> LambdaEvent<Value> {
    LambdaEvent::new(payload, Context::default())
}

async fn ask(relay: Result<&Relay, &StartError>, kind: &str, url: &str) -> Result<Value, MigrateError> {
    migrate::invoke(relay, event(request(kind, url))).await
}

fn answered(kind: &str, status: &str) -> Value {
    json!({ "request": kind, "status": status })
}

/// The settings of a station, with another database and a broker.
fn relay(station: &Station, changes: &[(&str, &str)]) -> Relay {
    let mut vars = station.vars.clone();
    vars.extend(changes.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    Relay::new(Settings::from_vars(&vars).unwrap(), "migrate").unwrap()
}

/// Nobody listens there.
const NOWHERE: &str = "postgres://talkback:a-password-for-nobody@127.0.0.1:1/talkback";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stack_that_is_made_is_migrated_and_hears_of_it() {
    let (station, vhost, url) = (Station::open().await, Vhost::new().await, empty().await);
    let relay = relay(&station, &[("DATABASE_URL", &url), ("AMQP_URL", &vhost.url())]);
    let mut bucket = Bucket::open(&[]).await;
    assert_eq!(ask(Ok(&relay), "Create", &bucket.url).await.unwrap(), answered("create", "SUCCESS"));
    let answer = bucket.answer().await;
    let asked = request("Create", "");
    for same in ["StackId", "RequestId", "LogicalResourceId"] {
        assert_eq!(answer[same], asked[same], "{same}");
    }
    assert_eq!((&answer["Status"], &answer["PhysicalResourceId"]), (&json!("SUCCESS"), &json!("talkback-migration")));
    let applied = answer["Reason"].as_str().unwrap().strip_suffix(" migrations applied").unwrap();
    assert!(applied.parse::<u32>().unwrap() > 5, "{answer}");
    relay.store.writable().await.unwrap();
    assert_eq!(vhost.broker.depth(QUEUE).await.unwrap(), 0);

    assert_eq!(ask(Ok(&relay), "Update", &bucket.url).await.unwrap(), answered("update", "SUCCESS"));
    let answer = bucket.answer().await;
    assert_eq!((&answer["Reason"], &answer["Status"]), (&json!("0 migrations applied"), &json!("SUCCESS")));
    assert_eq!(answer["PhysicalResourceId"], "talkback-migration", "another would have the first deleted");
    station.end().await;
    vhost.gone().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stack_that_is_deleted_takes_nothing_with_it() {
    let station = Station::open().await;
    send_as(&station.relay("send"), KEY, &json!({ "body": "kept", "source": "standard" })).await;
    let before = station.column("select uid from messages").await;
    assert_eq!(before.len(), 1);
    let mut bucket = Bucket::open(&[]).await;
    ask(Ok(&relay(&station, &[])), "Delete", &bucket.url).await.unwrap();
    assert_eq!(bucket.answer().await["Status"], "SUCCESS");
    assert_eq!(station.column("select uid from messages").await, before);
    // And it goes also where nothing else would: or the stack could not be got rid of.
    let away = relay(&station, &[("DATABASE_URL", NOWHERE)]);
    let wrong = StartError::from(Settings::from_vars(&HashMap::new()).unwrap_err());
    for relay in [Ok(&away), Err(&wrong)] {
        assert_eq!(ask(relay, "Delete", &bucket.url).await.unwrap(), answered("delete", "SUCCESS"));
        assert_eq!(bucket.answer().await["Status"], "SUCCESS");
    }
    station.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stack_hears_what_failed_and_no_secret() {
    let station = Station::open().await;
    let capture = Capture::default();
    let hearing = capture.listen();
    let mut bucket = Bucket::open(&[]).await;
    let away = relay(&station, &[("DATABASE_URL", NOWHERE)]);
    assert_eq!(ask(Ok(&away), "Create", &bucket.url).await.unwrap(), answered("create", "FAILED"));
    let answer = bucket.answer().await;
    assert_eq!(answer["Status"], "FAILED");
    assert!(answer["Reason"].as_str().unwrap().starts_with("migrations: the database is unavailable"), "{answer}");
    assert_eq!(answer["PhysicalResourceId"], "talkback-migration", "without one, CloudFormation cannot undo it");

    let without_broker = relay(&station, &[]);
    ask(Ok(&without_broker), "Update", &bucket.url).await.unwrap();
    assert!(bucket.answer().await["Reason"].as_str().unwrap().starts_with("AMQP_URL: missing"));

    let mut vars = station.vars.clone();
    vars.insert("DATABASE_URL".into(), "a-password-in-the-wrong-place".into());
    vars.remove("TALKBACK_LOOKUP_KEY");
    let wrong = StartError::from(Settings::from_vars(&vars).unwrap_err());
    ask(Err(&wrong), "Create", &bucket.url).await.unwrap();
    let reason = bucket.answer().await["Reason"].clone();
    let expected = "settings: DATABASE_URL: is not the address of a Postgres database; TALKBACK_LOOKUP_KEY: missing";
    assert_eq!(reason, expected);
    // A person who invokes it hears the same.
    assert_eq!(migrate::invoke(Err(&wrong), event(json!({}))).await.unwrap_err().to_string(), expected);

    drop(hearing);
    let log = capture.heard();
    assert!(log.contains("the stack is told that it failed"), "{log}");
    for secret in ["s1gnaturE", "AKIA0EXAMPLE", "response%7C", "a-password"] {
        assert!(!log.contains(secret), "{secret} is in the log: {log}");
    }
    station.end().await;
}

/// More faults than CloudFormation takes letters.
#[tokio::test]
async fn a_reason_is_as_long_as_a_stack_may_hear() {
    let toml: String = (0..400).map(|n| format!("\"surprise {n} für alle\" = 1\n")).collect();
    let vars = HashMap::from([("TALKBACK_CONFIG".to_owned(), toml)]);
    let wrong = StartError::from(Settings::from_vars(&vars).unwrap_err());
    assert!(wrong.to_string().len() > 4096);
    let mut bucket = Bucket::open(&[]).await;
    talkback::tls::install_ring();
    ask(Err(&wrong), "Create", &bucket.url).await.unwrap();
    let reason = bucket.answer().await["Reason"].as_str().unwrap().to_owned();
    assert!(reason.starts_with("settings: DATABASE_URL: missing") && reason.ends_with('…'), "{reason}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_migration_that_takes_too_long_is_given_up_in_time_for_the_answer() {
    let station = Station::open().await;
    let holder = connect(&station.database_url).await;
    let lock = i64::from_be_bytes(*b"talkback");
    holder.execute("select pg_advisory_lock($1)", &[&lock]).await.unwrap();
    let mut bucket = Bucket::open(&[]).await;
    // The function ends in 20.5 s, and 20 s of it are for the answer.
    let end = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap() + Duration::from_millis(20_500);
    let mut context = Context::default();
    context.deadline = u64::try_from(end.as_millis()).unwrap();
    let event = LambdaEvent::new(request("Update", &bucket.url), context);
    let said = migrate::invoke(Ok(&relay(&station, &[])), event).await.unwrap();
    assert_eq!(said, answered("update", "FAILED"));
    assert!(bucket.answer().await["Reason"].as_str().unwrap().starts_with("migrations: not done within"));
    drop(holder);
    station.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_is_put_again_until_it_is_taken() {
    talkback::tls::install_ring();
    let wrong = StartError::from(Settings::from_vars(&HashMap::new()).unwrap_err());
    let mut bucket = Bucket::open(&[503, 500]).await;
    ask(Err(&wrong), "Delete", &bucket.url).await.unwrap();
    let answers = [bucket.answer().await, bucket.answer().await, bucket.answer().await];
    assert!(answers.iter().all(|answer| *answer == answers[0]) && bucket.has_no_more());
    // Refused, or the third time in vain: Lambda is to hand the request in again.
    let mut refusing = Bucket::open(&[403]).await;
    let error = ask(Err(&wrong), "Delete", &refusing.url).await.unwrap_err().to_string();
    assert_eq!(error, "the stack could not be answered: HTTP 403");
    refusing.answer().await;
    assert!(refusing.has_no_more());
    let mut failing = Bucket::open(&[503, 503, 503]).await;
    let error = ask(Err(&wrong), "Delete", &failing.url).await.unwrap_err().to_string();
    assert_eq!(error, "the stack could not be answered: HTTP 503");
    for _ in 0..3 {
        failing.answer().await;
    }
    assert!(failing.has_no_more());
    // Nobody is there.
    let error = ask(Err(&wrong), "Delete", &format!("http://127.0.0.1:1/?{SIGNATURE}")).await.unwrap_err();
    assert_eq!(error.to_string(), "the stack could not be answered: no connection");
}

#[tokio::test]
async fn who_never_answers_is_not_waited_for() {
    talkback::tls::install_ring();
    let wrong = StartError::from(Settings::from_vars(&HashMap::new()).unwrap_err());
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/?{SIGNATURE}", silent.local_addr().unwrap());
    let began = std::time::Instant::now();
    let error = ask(Err(&wrong), "Delete", &url).await.unwrap_err();
    assert_eq!(error.to_string(), "the stack could not be answered: no answer in time");
    assert!(began.elapsed() < Duration::from_secs(20), "what is kept of the function's time for the answer");
}

#[tokio::test]
async fn a_request_that_is_none_is_refused_without_a_word_of_it() {
    let wrong = StartError::from(Settings::from_vars(&HashMap::new()).unwrap_err());
    let good = "https://cloudformation-custom-resource-response-useast1.s3.amazonaws.com/";
    let mut lacking = request("Update", good);
    lacking.as_object_mut().unwrap().remove("PhysicalResourceId");
    let mut strange = request("Create", good);
    strange["StackId"] = json!(["s1gnaturE"]);
    for payload in [request("Replace", good), lacking, strange, json!({ "RequestType": "Create" })] {
        let error = migrate::invoke(Err(&wrong), event(payload)).await.unwrap_err();
        assert!(
            error.to_string().starts_with("the stack's request: ") && !error.to_string().contains("s1gn"),
            "{error}"
        );
    }
    for url in ["http://example.org/", "ftp://127.0.0.1/", "s1gnaturE", ""] {
        let error = ask(Err(&wrong), "Delete", url).await.unwrap_err();
        assert!(error.to_string().starts_with("ResponseURL: must be") && !error.to_string().contains("s1gn"), "{url}");
    }
}

/// The process itself, without a single setting, where Lambda's Runtime API hands it a stack's request.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_function_that_cannot_start_lives_to_say_so() {
    let mut bucket = Bucket::open(&[]).await;
    let (tell, mut told) = unbounded_channel();
    let requests = Arc::new(Mutex::new(VecDeque::from([request("Create", &bucket.url)])));
    let app = axum::Router::new().fallback(move |method: Method, uri: Uri, body: String| {
        let next = (method == Method::GET).then(|| requests.lock().unwrap().pop_front());
        let tell = tell.clone();
        async move {
            let headers = [("lambda-runtime-aws-request-id", "1"), ("lambda-runtime-deadline-ms", "1")];
            match next {
                Some(Some(request)) => (headers, request.to_string()),
                Some(None) => std::future::pending().await,
                None => {
                    tell.send((uri.path().to_owned(), body)).unwrap();
                    (headers, String::new())
                }
            }
        }
    });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move { axum::serve(listener, app).await });
    let program = std::path::PathBuf::from(required("TALKBACK_TEST_BIN")).join("migrate");
    let mut process = tokio::process::Command::new(program)
        .env_clear()
        .envs([("AWS_LAMBDA_RUNTIME_API", address.as_str()), ("AWS_LAMBDA_FUNCTION_NAME", "migrate")])
        .envs([("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256"), ("AWS_LAMBDA_FUNCTION_VERSION", "1")])
        .envs([("AWS_LAMBDA_LOG_GROUP_NAME", "log"), ("AWS_LAMBDA_LOG_STREAM_NAME", "log")])
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let answer = bucket.answer().await;
    let reason = "settings: DATABASE_URL: missing; TALKBACK_DATA_KEYS: missing; TALKBACK_LOOKUP_KEY: missing; \
                  TALKBACK_CONFIG: missing";
    assert_eq!((&answer["Status"], &answer["Reason"]), (&json!("FAILED"), &json!(reason)));
    let (path, body) = timeout(PATIENCE, told.recv()).await.unwrap().unwrap();
    assert_eq!(path, "/2018-06-01/runtime/invocation/1/response", "{body}");
    process.start_kill().unwrap();
    let log = String::from_utf8(process.wait_with_output().await.unwrap().stdout).unwrap();
    assert!(log.contains("the function cannot start") && !log.contains("s1gnaturE"), "{log}");
}
