//! The station's logger outside: it hears of each of our calls as it hears of any producer's, and we do not hear of
//! them ourselves. Through the real broker, with the stamp and all, as messages go.
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use groupme_sim::{Fault, What};
use serde_json::{Value, json};
use talkback::amqp_event::Delivery;
use talkback::broker::{Props, QUEUE};
use talkback::relay::batch::Counts;
use talkback::store::answers::CallNote;
use talkback::store::pictures::Brought;
use tokio::task::JoinHandle;
use tokio::time::interval;
use uuid::Uuid;

use crate::station::{BOT, GROUP, MEMBER, Setup, Station, usual_rooms};
use crate::vhost::Vhost;

pub const SOURCE: &str = "source_exchange";
pub const LOGGER: &str = "logger";
const KINDS: [&str; 3] = ["msg", "img", "callback"];

/// A station that publishes what it calls, and what else is set.
pub fn publishing(amqp: String, more: &str) -> Setup {
    let exchanges =
        format!("[[exchanges]]\nname = \"{SOURCE}\"\ntype = \"topic\"\npatterns = [\"source.#\"]\ndeclare = true\n");
    let rooms = format!("{}\n{exchanges}\n[records]\npublish = true\n{more}", usual_rooms("20ms", 3));
    Setup { rooms, vars: vec![("AMQP_URL", amqp)], ..Setup::default() }
}

/// The topology, a logger bound as the station's is, and a queue for each kind of record.
pub async fn bind_logger(vhost: &Vhost, station: &Station) {
    let settings = &station.settings;
    vhost.broker.declare(&settings.exchanges, settings.lanes.retry_ttl).await.unwrap();
    vhost.queue(LOGGER).await;
    vhost.bind(SOURCE, LOGGER, "source.groupme.#").await;
    for kind in KINDS {
        vhost.queue(kind).await;
        vhost.bind(SOURCE, kind, &format!("source.groupme.{kind}")).await;
    }
}

async fn with_logger() -> (Vhost, Station) {
    let vhost = Vhost::new().await;
    let station = Station::with(publishing(vhost.url(), "")).await;
    bind_logger(&vhost, &station).await;
    (vhost, station)
}

pub fn body(delivery: &Delivery) -> Value {
    serde_json::from_slice(&delivery.body).unwrap()
}

/// The next record of ours in a queue, which is as infra/asyncapi.yaml says.
pub async fn record(vhost: &Vhost, queue: &str) -> Value {
    let delivery = vhost.next(queue).await;
    crate::asyncapi::assert_record(&delivery);
    body(&delivery)
}

/// Takes in what comes out of our own queue, as the bridge and the consumer do.
struct Consumer {
    counts: Arc<Mutex<Counts>>,
    task: JoinHandle<()>,
}

impl Consumer {
    fn start(station: &Station, vhost: &Vhost) -> Self {
        let relay = station.relay("rabbitmq-consumer");
        let broker = talkback::broker::Broker::new(vhost.url().into(), "story's consumer").unwrap();
        let counts = Arc::<Mutex<Counts>>::default();
        let sum = Arc::clone(&counts);
        let task = tokio::spawn(async move {
            let mut tick = interval(Duration::from_millis(10));
            loop {
                tick.tick().await;
                while let Some(taken) = broker.get(QUEUE).await.unwrap() {
                    let now = jiff::Timestamp::now();
                    let new = relay.take_in(vec![taken.record.clone()], now).await.unwrap();
                    taken.ack().await.unwrap();
                    let mut sum = sum.lock().unwrap();
                    sum.outcomes.extend(new.outcomes);
                    sum.records += new.records;
                    sum.rejected += new.rejected;
                    sum.ignored += new.ignored;
                }
            }
        });
        Self { counts, task }
    }

    fn ignored(&self) -> usize {
        self.counts.lock().unwrap().ignored
    }

    /// Waits until so many of our own records came back.
    async fn ignores(&self, count: usize) {
        let look = async {
            let mut tick = interval(Duration::from_millis(10));
            while self.ignored() < count {
                tick.tick().await;
            }
        };
        let in_time = tokio::time::timeout(crate::station::PATIENCE, look).await;
        assert!(in_time.is_ok(), "{} of {count} came back", self.ignored());
    }
}

impl Drop for Consumer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn publish(vhost: &Vhost, key: &str, body: &Value, props: &Props) {
    vhost.broker.publish(SOURCE, key, body.to_string().as_bytes(), props, true).await.unwrap();
}

fn standard(uid: &str, text: &str) -> Value {
    json!({ "body": text, "wbor_message_id": uid })
}

const WAITING: &str = "select count(*)::text from record_outbox";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_call_and_each_line_reaches_the_logger_once_and_none_comes_round() {
    let (vhost, mut station) = with_logger().await;
    let consumer = Consumer::start(&station, &vhost);
    station.start_dispatcher();
    let uid = Uuid::new_v4().to_string();
    let long = "All work and no play makes Jack a dull boy. ".repeat(30);
    publish(&vhost, "source.standard", &standard(&uid, long.trim()), &Props::default()).await;
    station.lines(2).await;
    station.sim.say(GROUP, "7", "Ada", "hello").await;
    // Two posts, and three lines.
    consumer.ignores(5).await;
    station.until(WAITING, &["0"]).await;
    let parts = station.column("select text from parts order by n").await;
    for text in parts {
        let mut record = record(&vhost, "msg").await;
        let at = record["timestamp"].take();
        let at: jiff::Timestamp = at.as_str().unwrap().parse().unwrap();
        assert!(at.duration_until(jiff::Timestamp::now()).as_secs() < 60, "{at}");
        let wanted = json!({
            "text": text, "bot_id": "staff", "source": "standard", "code": 202, "statuscode": 202, "type": "log",
            "wbor_message_id": uid, "timestamp": null,
        });
        assert_eq!(record, wanted);
    }
    let mut said = Vec::new();
    for _ in 0..3 {
        let line = record(&vhost, "callback").await;
        assert_eq!((line["code"].as_u64(), line["statuscode"].as_u64()), (Some(200), Some(200)));
        assert_eq!(line["wbor_message_id"], line["source_guid"]);
        assert!(line["source_guid"].is_string() && line["created_at"].is_i64() && line["id"].is_string(), "{line}");
        let words = ["bot_id", "source", "type", "group_id"].map(|name| line[name].as_str().unwrap().to_owned());
        assert_eq!(words, ["staff", "groupme.callback", "callback", GROUP]);
        said.push((line["name"].as_str().unwrap().to_owned(), line["text"].as_str().unwrap().to_owned()));
    }
    let lines: Vec<_> = station.sim.lines(GROUP).iter().map(|l| (l.name.clone(), l.text.clone().unwrap())).collect();
    assert_eq!(said.iter().collect::<BTreeSet<_>>(), lines.iter().collect::<BTreeSet<_>>());

    // Whatever went round would come before this.
    publish(&vhost, "source.standard", &standard(&Uuid::new_v4().to_string(), "the last"), &Props::default()).await;
    consumer.ignores(7).await;
    station.until(WAITING, &["0"]).await;
    assert_eq!(vhost.broker.depth(QUEUE).await, Ok(0), "nothing is under way any more");
    assert_eq!(vhost.broker.depth(LOGGER).await, Ok(7));
    assert_eq!(consumer.ignored(), 7);
    {
        let counts = consumer.counts.lock().unwrap();
        assert_eq!((counts.outcomes.len(), counts.records, counts.rejected), (2, 0, 0));
    }
    assert_eq!(station.column("select distinct outcome from api_calls").await, ["posted"]);
    assert_eq!(station.column("select distinct learnt_by from groupme_callbacks").await, ["callback"]);
    drop(consumer);
    station.end().await;
    vhost.gone().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_failed_and_one_without_an_answer_are_told_with_what_is_known() {
    let (vhost, mut station) = with_logger().await;
    station.start_dispatcher();
    let status = What::Status { code: 400, retry_after: None, shown: false };
    station.sim.fault(Fault { containing: Some("refused".into()), ..Fault::once(status) });
    let uid = Uuid::new_v4().to_string();
    station.consume(&[Station::message("source.weather", &standard(&uid, "refused"))]).await;
    let refused = record(&vhost, "msg").await;
    assert_eq!((refused["code"].as_u64(), refused["statuscode"].as_u64()), (Some(400), Some(400)));
    assert_eq!((&refused["source"], &refused["wbor_message_id"]), (&json!("weather"), &json!(uid)));

    station.sim.fault(Fault::once(What::ResetAfterRead { shown: true }));
    station.consume(&[Station::message("source.standard", &standard("42", "no answer"))]).await;
    station.until("select outcome from api_calls order by id", &["refused", "unknown"]).await;
    let unknown = record(&vhost, "msg").await;
    assert_eq!((&unknown["code"], &unknown["statuscode"]), (&Value::Null, &Value::Null));
    assert!(unknown["text"].as_str().unwrap().contains("no answer"));
    assert_eq!(unknown["wbor_message_id"], "42", "as its producer wrote it");
    station.end().await;
    vhost.gone().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_whose_line_came_before_its_answer_is_told_once() {
    let vhost = Vhost::new().await;
    // Time enough to look at what is known meanwhile.
    let lanes = "lease = \"10s\"\nhttp = \"6s\"\nstay_unknown_deadline = \"20s\"".to_owned();
    let mut station = Station::with(Setup { lanes, ..publishing(vhost.url(), "") }).await;
    bind_logger(&vhost, &station).await;
    station.start_dispatcher();
    station.sim.fault(Fault::once(What::Slow(Duration::from_secs(4))));
    let message = standard(&Uuid::new_v4().to_string(), "slow");
    station.take_in(&[Station::message("source.standard", &message)]).await;
    station.until("select outcome from api_calls", &["unknown"]).await;
    // The line is told; the call is kept back, since its caller may still tell.
    station.until("select (call is not null)::text from record_outbox", &["true"]).await;
    station.until("select outcome from api_calls", &["posted"]).await;
    assert_eq!(record(&vhost, "msg").await["code"], 202);
    station.until(WAITING, &["0"]).await;
    assert_eq!(vhost.broker.depth("msg").await, Ok(0));
    station.end().await;
    vhost.gone().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_is_told_with_its_address_and_not_with_its_content() {
    let (vhost, mut station) = with_logger().await;
    let uid = Uuid::new_v4().to_string();
    station.take_in(&[Station::message("source.standard", &standard(&uid, "look"))]).await;
    let relay = station.relay("rabbitmq-consumer");
    for (picture, status) in [(2, Some(200)), (3, Some(415)), (4, None)] {
        let request = json!({ "picture": picture, "sha256": "00", "bytes": 1, "type": "image/jpeg" });
        let note = CallNote {
            uid: Some(&uid),
            room: None,
            channel: "groupme",
            operation: "upload",
            status,
            ok: status == Some(200),
            latency: Duration::from_millis(1),
            request: &request,
            error: (status != Some(200)).then_some("refused"),
        };
        relay.store.note_call(&note).await.unwrap();
    }
    station.start_dispatcher();
    let due = "select status::text from record_outbox join api_calls c on c.id = call order by call";
    station.until(due, &["200"]).await;
    // The one that was taken is kept back until its address is known.
    let url = "https://i.groupme.com/640x480.jpeg.0f3c";
    let content = Some((&[0_u8; 32][..], 1, "image/jpeg"));
    let brought = Brought { uid: &uid, channel: "groupme", n: 2, content, result: Ok(url) };
    relay.store.note_picture(&brought).await.unwrap();
    for (raw_img, status) in [(Value::Null, json!(415)), (Value::Null, Value::Null), (json!(url), json!(200))] {
        let mut record = record(&vhost, "img").await;
        assert!(record["timestamp"].take().is_string());
        let wanted = json!({
            "raw_img": raw_img, "bot_id": "staff", "source": "standard", "code": status, "statuscode": status,
            "type": "img", "wbor_message_id": uid, "timestamp": null,
        });
        assert_eq!(record, wanted);
    }
    station.until("select state from deliveries", &["confirmed"]).await;
    station.end().await;
    vhost.gone().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_producer_records_is_written_down_and_not_published_again_whatever_its_header_says() {
    let (vhost, mut station) = with_logger().await;
    let consumer = Consumer::start(&station, &vhost);
    station.start_dispatcher();
    let uid = || Uuid::new_v4().to_string();
    // A record of ours, to take the proof from.
    station.consume(&[Station::message("source.standard", &standard(&uid(), "ours"))]).await;
    let ours = vhost.next("msg").await;
    let proof = ours.headers.text("x-talkback-record").unwrap();
    consumer.ignores(2).await;
    let theirs = |uid: &str| json!({ "text": "theirs", "bot_id": BOT, "source": "standard", "code": 202, "type": "log", "wbor_message_id": uid });
    let forged = Props::default().with_header("x-talkback-record", proof.as_str());
    for props in [Props::default(), forged, Props::default().with_header("x-talkback-record", "true")] {
        publish(&vhost, "source.groupme.msg", &theirs(&uid()), &props).await;
    }
    let guid = uid();
    let line = json!({
        "group_id": GROUP, "id": "179519460012345678", "name": "Studio", "sender_type": "user", "sender_id": "9",
        "user_id": "9", "text": "heard by another", "source_guid": guid, "bot_id": BOT, "source": "groupme.callback",
        "code": 200, "type": "callback", "wbor_message_id": guid,
    });
    publish(&vhost, "source.groupme.callback", &line, &Props::default()).await;
    let recorded = "select operation from api_calls where outcome = 'recorded' order by id";
    station.until(recorded, &["post", "post", "post", "callback"]).await;
    assert_eq!(consumer.ignored(), 2);
    assert_eq!(station.column(WAITING).await, ["0"], "the logger has them from their producers");

    // What we hear ourselves afterwards, we tell ourselves.
    let url = station.callback.clone().unwrap();
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let heard = client.post(url).header("content-type", "application/json").body(line.to_string());
    assert!(heard.send().await.unwrap().status().is_success());
    consumer.ignores(3).await;
    station.until(WAITING, &["0"]).await;
    // Ours and its line; four of theirs; and theirs that we heard too.
    assert_eq!(vhost.broker.depth(LOGGER).await, Ok(7));
    drop(consumer);
    station.end().await;
    vhost.gone().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_secret_is_in_a_record() {
    let vhost = Vhost::new().await;
    let mut setup = publishing(vhost.url(), "");
    setup.vars.push(("GROUPME_ACCESS_TOKEN", MEMBER.to_owned()));
    let mut station = Station::with(setup).await;
    bind_logger(&vhost, &station).await;
    station.start_dispatcher();
    station.sim.say(GROUP, "7", "Ada", &format!("the bot is {BOT}")).await;
    station.consume(&[Station::message("source.standard", &standard("1", "posted"))]).await;
    station.until("select state from deliveries", &["confirmed"]).await;
    for _ in 0..3 {
        let record = vhost.next(LOGGER).await;
        let text = String::from_utf8(record.body).unwrap();
        for secret in [BOT, MEMBER, crate::station::TOKEN, "CQkJCQkJ"] {
            assert!(!text.contains(secret), "{text}");
        }
    }
    station.end().await;
    vhost.gone().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_kept_for_a_logger_unless_it_is_asked_for() {
    let mut station = Station::open().await;
    station.start_dispatcher();
    station.consume(&[Station::message("source.standard", &standard("1", "posted"))]).await;
    station.until("select state from deliveries", &["confirmed"]).await;
    station.until("select learnt_by from groupme_callbacks", &["callback"]).await;
    assert_eq!(station.column(WAITING).await, ["0"]);
    station.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_is_switched_off_with_the_next_start_and_what_waits_is_told_when_it_is_on_again() {
    let (vhost, mut station) = with_logger().await;
    let on = station.settings.clone();
    let message = |uid: &str| Station::message("source.standard", &standard(uid, uid));
    station.consume(&[message("1")]).await;
    station.until(WAITING, &["2"]).await;
    station.settings.records = None;
    station.relay("rabbitmq-consumer").wake().await.unwrap();
    station.consume(&[message("2")]).await;
    station.until("select state from deliveries order by id", &["confirmed", "confirmed"]).await;
    assert_eq!(station.column(WAITING).await, ["2"]);
    station.settings = on;
    station.start_dispatcher();
    station.consume(&[message("3")]).await;
    let told = [record(&vhost, "msg").await, record(&vhost, "msg").await];
    assert_eq!(told.map(|record| record["wbor_message_id"].clone()), ["1", "3"]);
    station.until(WAITING, &["0"]).await;
    station.end().await;
    vhost.gone().await;
}
