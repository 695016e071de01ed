//! A station for one story: a database of its own, a simulated GroupMe, and the functions, called as Lambda would.
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use groupme_sim::{Bot, Line, Sim, SimConfig};
use lambda_http::RequestExt as _;
use lambda_runtime::{Context, LambdaEvent};
use serde_json::{Value, json};
use talkback::amqp_event::read_event;
use talkback::config::Settings;
use talkback::delivery::DeliveryState;
use talkback::fetch::Names;
use talkback::relay::Relay;
use talkback::relay::batch::Counts;
use tokio::sync::{Mutex, OnceCell};
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::setup::lanes;
pub use crate::setup::{
    BOT, GROUP, KEY, MEMBER, OTHER_BOT, OTHER_GROUP, PATIENCE, Setup, TOKEN, two_rooms, usual_rooms,
};

pub struct Station {
    pub sim: Sim,
    pub settings: Settings,
    pub vars: HashMap<String, String>,
    pub database_url: String,
    pub callback: Option<String>,
    /// How the functions look up names, where the story has its own way.
    pub names: Option<Names>,
    dispatcher: Option<(Arc<AtomicBool>, JoinHandle<()>)>,
}

pub fn required(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: run `cargo xtask test`"))
}

/// Connects; the connection ends with the client.
pub async fn connect(url: &str) -> tokio_postgres::Client {
    let (client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

/// The URL of another database of the same server.
fn database(name: &str) -> String {
    let url = required("TALKBACK_TEST_DATABASE_URL");
    let (server, _) = url.rsplit_once('/').expect("a database in TALKBACK_TEST_DATABASE_URL");
    format!("{server}/{name}")
}

/// A new database's name; by our process id `cargo xtask chaos` finds what to drop after us.
fn named(kind: &str) -> String {
    format!("{kind}_{}_{}", std::process::id(), uuid::Uuid::new_v4().simple())
}

/// A migrated database that others are copied from: tens of milliseconds instead of a second.
async fn template() -> &'static Mutex<String> {
    static TEMPLATE: OnceCell<Mutex<String>> = OnceCell::const_new();
    TEMPLATE
        .get_or_init(|| async {
            let name = named("template");
            let admin = connect(&required("TALKBACK_TEST_DATABASE_URL")).await;
            admin.batch_execute(&format!("create database {name}")).await.unwrap();
            let store = talkback::store::Store::new(&database(&name).into(), None, Duration::from_secs(30), 1).unwrap();
            store.migrate().await.unwrap();
            Mutex::new(name)
        })
        .await
}

pub async fn new_database() -> String {
    let name = named("story");
    let template = template().await.lock().await;
    let admin = connect(&required("TALKBACK_TEST_DATABASE_URL")).await;
    admin.batch_execute(&format!("create database {name} template {}", *template)).await.unwrap();
    database(&name)
}

impl Station {
    pub async fn open() -> Self {
        Self::with(Setup::default()).await
    }

    pub async fn with(setup: Setup) -> Self {
        talkback::tls::install_ring();
        let database_url = match setup.database {
            Some(url) => url,
            None => new_database().await,
        };
        let mut bots =
            vec![Bot { bot_id: BOT.into(), group_id: GROUP.into(), name: "Talkback".into(), callback_url: None }];
        bots.extend(setup.bots.iter().map(|(bot, group)| Bot {
            bot_id: bot.clone(),
            group_id: group.clone(),
            name: "Other".into(),
            callback_url: None,
        }));
        let names: Vec<String> = bots.iter().map(|b| b.bot_id.clone()).collect();
        let sim = Sim::start(SimConfig { bots, access_token: Some(MEMBER.into()), port: 0 }).await.unwrap();
        let mut vars: HashMap<String, String> = [
            ("DATABASE_URL", database_url.clone()),
            ("TALKBACK_CONFIG", format!("{}\n{}", setup.rooms, lanes(&setup.lanes))),
            ("TALKBACK_DATA_KEYS", format!("k1:{}", STANDARD.encode([7; 32]))),
            ("TALKBACK_LOOKUP_KEY", STANDARD.encode([9; 32])),
            ("TALKBACK_SEND_KEYS", format!("tests:{}:standard|standard.*|ups.*:urgent:rooms", sha256(KEY))),
            ("GROUPME_CALLBACK_TOKEN", TOKEN.into()),
            ("GROUPME_API_URL", sim.api_url()),
            ("GROUPME_IMAGE_URL", sim.image_url()),
        ]
        .into_iter()
        .map(|(k, v)| (k.to_owned(), v))
        .collect();
        vars.extend(setup.vars.into_iter().map(|(k, v)| (k.to_owned(), v)));
        let settings = Settings::from_vars(&vars).unwrap_or_else(|e| panic!("{e}"));
        let mut station = Self { sim, settings, vars, database_url, callback: None, names: None, dispatcher: None };
        let url = station.serve_callback().await;
        if setup.callbacks {
            names.iter().for_each(|bot| station.sim.set_callback_url(bot, url.clone()));
        }
        station.callback = Some(url);
        // Rooms must be known before the first callback comes.
        station.relay("tests").wake().await.unwrap();
        station
    }

    /// A relay as a function of this name has it.
    pub fn relay(&self, function: &'static str) -> Relay {
        let mut relay = Relay::new(self.settings.clone(), function).unwrap();
        if let Some(names) = &self.names {
            relay.names = names.clone();
        }
        relay
    }

    /// The callback function behind an address, as API Gateway would call it.
    async fn serve_callback(&self) -> String {
        let relay = self.relay("groupme-callback");
        let app = axum::Router::new().fallback(move |request: axum::extract::Request| {
            let relay = relay.clone();
            async move {
                let (parts, body) = request.into_parts();
                let bytes = axum::body::to_bytes(body, usize::MAX).await.unwrap();
                let path = parts.uri.path().to_owned();
                let request = lambda_http::http::Request::from_parts(parts, lambda_http::Body::Binary(bytes.to_vec()));
                let (parts, _) = groupme_callback::handle(&relay, request.with_raw_http_path(&path)).await.into_parts();
                axum::response::Response::from_parts(parts, axum::body::Body::empty())
            }
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, app).await });
        format!("http://{address}/groupme/callback/{TOKEN}")
    }

    /// One message as Amazon MQ would bring it, stamped.
    pub fn message(key: &str, body: &Value) -> Value {
        Self::raw_message(key, body.to_string().as_bytes(), json!({}))
    }

    pub fn raw_message(key: &str, body: &[u8], headers: Value) -> Value {
        let mut headers = headers;
        headers["x-death"] = json!([{
            "count": 1, "reason": bytes("expired"), "queue": bytes("talkback.stamp"), "exchange": bytes("source_exchange"),
            "routing-keys": [bytes(key)], "time": jiff::Timestamp::now().as_second(),
        }]);
        json!({
            "basicProperties": { "headers": headers, "priority": null, "deliveryMode": 2, "bodySize": body.len() },
            "redelivered": false, "data": STANDARD.encode(body),
        })
    }

    pub fn batch(messages: &[Value]) -> Value {
        json!({ "eventSource": "aws:rmq", "rmqMessagesByQueue": { "talkback::/": messages } })
    }

    /// Invokes the consumer.
    pub async fn consume(&self, messages: &[Value]) -> Value {
        let relay = self.relay("rabbitmq-consumer");
        rabbitmq_consumer::handle(&relay, LambdaEvent::new(Self::batch(messages), Context::default())).await.unwrap()
    }

    /// Takes a batch in as the consumer does, and posts nothing.
    pub async fn take_in(&self, messages: &[Value]) -> Counts {
        let records = read_event(&Self::batch(messages)).unwrap();
        self.relay("rabbitmq-consumer").take_in(records, jiff::Timestamp::now()).await.unwrap()
    }

    /// Keeps a dispatcher at work until the story ends, minute by minute.
    pub fn start_dispatcher(&mut self) {
        let relay = self.relay("dispatcher");
        let stop = Arc::new(AtomicBool::new(false));
        let asked = Arc::clone(&stop);
        let task = tokio::spawn(async move {
            while !asked.load(Ordering::Relaxed) {
                let event =
                    LambdaEvent::new(aws_lambda_events::eventbridge::EventBridgeEvent::default(), Context::default());
                if dispatcher::handle(&relay, event).await.is_err() {
                    interval(Duration::from_millis(100)).tick().await;
                }
            }
        });
        self.dispatcher = Some((stop, task));
    }

    /// Ends the dispatcher in the middle of whatever it does.
    pub async fn kill_dispatcher(&mut self) {
        if let Some((_, task)) = self.dispatcher.take() {
            task.abort();
            drop(task.await);
        }
    }

    /// Lets the dispatcher finish what it does; then nothing happens any more by itself. Its minute is not waited for
    /// where it has nothing left to do: a dispatcher that only looks around may be ended at any time.
    pub async fn stop_dispatcher(&mut self) {
        let Some((stop, mut task)) = self.dispatcher.take() else { return };
        stop.store(true, Ordering::Relaxed);
        let db = self.db().await;
        let work = "select exists (select 1 from deliveries where state in ('queued', 'sending', 'scheduled'))
                    or exists (select 1 from parts where state = 'posting')
                    or exists (select 1 from messages where answer in ('due', 'giving'))";
        let mut tick = interval(Duration::from_millis(25));
        loop {
            tokio::select! {
                ended = &mut task => return ended.unwrap(),
                _ = tick.tick() => if !db.query_one(work, &[]).await.unwrap().get::<_, bool>(0) {
                    task.abort();
                    drop(task.await);
                    return;
                },
            }
        }
    }

    pub async fn db(&self) -> tokio_postgres::Client {
        connect(&self.database_url).await
    }

    /// Waits until a query's single text column reads as wanted.
    pub async fn until(&self, query: &str, wanted: &[&str]) {
        let client = self.db().await;
        let end = Instant::now() + PATIENCE;
        let mut tick = interval(Duration::from_millis(25));
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            let rows = client.query(query, &[]).await.unwrap();
            let found: Vec<String> =
                rows.iter().map(|r| r.get::<_, Option<String>>(0).unwrap_or("null".into())).collect();
            if found == wanted {
                return;
            }
            assert!(Instant::now() < end, "{query}\nwanted {wanted:?}\nfound  {found:?}\nroom: {:?}", self.texts());
        }
    }

    /// A query's single text column.
    pub async fn column(&self, query: &str) -> Vec<String> {
        let rows = self.db().await.query(query, &[]).await.unwrap_or_else(|e| panic!("{query}: {e}"));
        rows.iter().map(|row| row.get::<_, Option<String>>(0).unwrap_or("null".into())).collect()
    }

    /// The bodies that the room shows, in order, without their dress.
    pub fn said(&self) -> Vec<String> {
        self.texts().iter().map(|t| t.split('"').nth(1).unwrap_or(t).to_owned()).collect()
    }

    /// The texts shown in the room, in order.
    pub fn texts(&self) -> Vec<String> {
        texts(&self.sim.lines(GROUP))
    }

    /// Waits until so many lines are in the room.
    pub async fn lines(&self, count: usize) -> Vec<Line> {
        let wanted = |lines: &[Line]| lines.iter().filter(|l| l.group_id == GROUP).count() >= count;
        if let Err(instead) = self.sim.wait_for(wanted, PATIENCE).await {
            panic!("{count} lines: {instead}");
        }
        self.sim.lines(GROUP)
    }

    /// Ends the story: nothing that GroupMe would not take was asked of it, and no delivery changed in a way that the
    /// table of changes does not allow.
    pub async fn end(mut self) {
        self.stop_dispatcher().await;
        self.check_changes().await;
        let complaints = self.sim.complaints();
        assert!(complaints.is_empty(), "{complaints:?}");
        self.sim.stop().await;
    }

    /// Every change of a delivery's state is one that the table allows, and follows from the change before it.
    async fn check_changes(&self) {
        let rows = self
            .db()
            .await
            .query("select delivery, old_state, new_state, cause from delivery_events order by delivery, id", &[])
            .await
            .unwrap();
        let state = |word: String| DeliveryState::parse(&word).unwrap_or_else(|| panic!("no state: {word}"));
        let mut before: HashMap<i64, DeliveryState> = HashMap::new();
        for row in rows {
            let (delivery, old, new): (i64, Option<String>, String) = (row.get(0), row.get(1), row.get(2));
            let (old, new) = (old.map(state), state(new));
            assert_eq!(before.insert(delivery, new), old, "the events of delivery {delivery} have a gap");
            let allowed = old.is_none_or(|old| old.may_become(new));
            assert!(allowed, "{old:?} may not become {new:?}: {}", row.get::<_, String>(3));
        }
    }
}

pub fn texts(lines: &[Line]) -> Vec<String> {
    lines.iter().map(|l| l.text.clone().unwrap_or_default()).collect()
}

/// A text as Amazon MQ brings it in a header.
pub fn bytes(text: &str) -> Value {
    json!({ "bytes": text.as_bytes() })
}

pub fn sha256(text: &str) -> String {
    talkback::relay::accept::fingerprint(text, None).iter().map(|b| format!("{b:02x}")).collect()
}

/// The classic dress of a message of one part.
pub fn dressed(text: &str, uid: &str) -> String {
    let short = uid.split('-').next().unwrap_or(uid);
    format!("\"{text}\"\n---UID---\n{short}\n---------")
}
