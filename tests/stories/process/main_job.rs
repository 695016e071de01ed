//! The main job through every real part: producer, stamp queue, bridge, emulator, functions, Postgres, chat, and back.
use std::sync::{Arc, Mutex};

use axum::extract::State;
use axum::routing::post;
use axum::{Json, Router};
use serde_json::{Value, json};
use talkback::broker::Props;
use tokio::net::TcpListener;
use uuid::Uuid;

use super::emulator::client;
use super::works::{PATIENCE, Setup, Works, eventually, group};
use crate::logs::assert_lines;
use crate::station::{KEY, dressed, texts};

/// A Twilio front end that waits for its acknowledgements.
async fn front_end() -> (String, Arc<Mutex<Vec<Value>>>) {
    async fn acknowledged(State(heard): State<Arc<Mutex<Vec<Value>>>>, Json(body): Json<Value>) {
        heard.lock().unwrap().push(body);
    }
    let heard = Arc::new(Mutex::new(Vec::new()));
    let app = Router::new().route("/acknowledge", post(acknowledged)).with_state(Arc::clone(&heard));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/acknowledge", listener.local_addr().unwrap());
    tokio::spawn(async { axum::serve(listener, app).await });
    (url, heard)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_published_text_reaches_the_room_through_every_real_part() {
    let (ack_url, acknowledged) = front_end().await;
    let vars = vec![("ACK_URL", ack_url), ("TALKBACK_METRICS", "embedded".to_owned())];
    let works = Works::start(Setup { story: "main-job", usual: true, vars, ..Setup::default() }).await;
    works.vhost.queue("replies").await;
    let uid = Uuid::new_v4().to_string();
    let text = json!({
        "MessageSid": "SM1", "From": "+12075550123", "To": "+12075550199", "Body": "Play some Coltrane 🎷",
        "NumMedia": "0", "SenderName": "Ada", "FromCity": "BRUNSWICK", "wbor_message_id": uid, "source": "twilio",
        "type": "sms.incoming",
    });
    let props = Props { reply_to: Some("replies".into()), correlation_id: Some("c-1".into()), ..Props::default() };
    works.publish("source.twilio.sms.incoming", &text, &props).await;

    works.until("select state from deliveries", &["confirmed"]).await;
    assert_eq!(texts(&works.sim.lines(&group(0))), [dressed("Play some Coltrane 🎷", &uid)]);
    works.until("select source || ' ' || door from messages", &["source.twilio.sms.incoming rabbitmq"]).await;
    let (reply, correlation_id) = works.vhost.answer("replies").await;
    assert_eq!((reply, correlation_id), (json!({ "status": "success", "message_id": uid }), Some("c-1".to_owned())));
    let told = async || acknowledged.lock().unwrap().first().cloned();
    assert_eq!(eventually("the acknowledgement", told).await, json!({ "wbor_message_id": uid }));
    works.until("select answer from messages", &["given"]).await;
    works
        .until(
            "select operation || ' ' || outcome || ' ' || coalesce(status::text, '-') from api_calls order by 1",
            &["ack ok 200", "post posted 202", "reply ok -"],
        )
        .await;
    works.until("select new_state from delivery_events order by id limit 2", &["queued", "sending"]).await;
    assert_eq!(acknowledged.lock().unwrap().len(), 1);
    // CloudWatch makes metrics of these lines; all are lines of the log.
    let log = |function: &str| std::fs::read_to_string(works.folder.join(format!("{function}-1.log"))).unwrap();
    let taken_in = async || {
        let lines: Vec<Value> =
            log("rabbitmq-consumer").lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        lines.into_iter().find(|line| line["talkback_messages_total"] == 1.0)
    };
    let line = eventually("the consumer's metrics", taken_in).await;
    assert_eq!((&line["source"], &line["verdict"]), (&json!("source.twilio.sms.incoming"), &json!("accepted")));
    let told = &line["_aws"]["CloudWatchMetrics"][0];
    assert_eq!(told["Namespace"], "Talkback");
    assert_eq!(told["Dimensions"], json!([[], ["source"], ["verdict"], ["source", "verdict"]]));
    for function in ["rabbitmq-consumer", "migrate"] {
        assert_lines(&log(function));
    }
    assert!(works.vhost.broker.get("replies").await.unwrap().is_none());
    assert_eq!(works.sim.complaints(), Vec::<String>::new());
    works.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_and_a_command_are_answered_through_the_emulator() {
    let works = Works::start(Setup { story: "http", usual: true, ..Setup::default() }).await;
    let client = client();
    let uid = Uuid::new_v4().to_string();
    let body = json!({ "body": "The transmitter is warm", "uid": uid });
    let request = client.post(format!("{}/send", works.emulator.url())).bearer_auth(KEY).timeout(PATIENCE).json(&body);
    let answer = request.send().await.unwrap();
    assert_eq!(answer.status(), 202);
    let answer: Value = answer.json().await.unwrap();
    assert_eq!(answer["uid"], uid);
    works.until("select state from deliveries", &["confirmed"]).await;
    assert_eq!(texts(&works.sim.lines(&group(0))), [dressed("The transmitter is warm", &uid)]);

    let asked = client.get(format!("{}/messages/{uid}", works.emulator.url())).bearer_auth(KEY);
    let found: Value = asked.send().await.unwrap().json().await.unwrap();
    assert_eq!((found["verdict"].as_str(), found["state"].as_str()), (Some("accepted"), Some("confirmed")));
    let health = client.get(format!("{}/health", works.emulator.url())).send().await.unwrap();
    assert_eq!(health.status(), 200);

    works.sim.say(&group(0), "4711", "Grace", "!ping").await;
    let two = |lines: &[groupme_sim::Line]| lines.len() == 3;
    let lines = works.sim.wait_for(two, PATIENCE).await.unwrap();
    assert_eq!(lines[2].bot_id.as_deref(), Some(super::works::bot(0).as_str()));
    works.until("select state from deliveries order by id", &["confirmed", "confirmed"]).await;
    assert_eq!(works.sim.complaints(), Vec::<String>::new());
    works.end().await;
}
