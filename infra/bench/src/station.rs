//! Talkback as it is deployed: a database of its own, the functions as processes, a room or many of the simulated chat.
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use axum::body::Bytes;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use uuid::Uuid;

use crate::bench::Bench;
use crate::function::Function;

/// Messages of one event: what a mapping from a queue brings unless it is told otherwise.
pub(crate) const BATCH: usize = 100;

/// The key of `POST /send`.
pub(crate) const KEY: &str = "key-of-the-bench-1234567890";

/// How long a row may take to be posted and recorded.
const PATIENCE: Duration = Duration::from_secs(300);

/// Functions at work on one database.
pub(crate) struct Station {
    pub(crate) environment: BTreeMap<String, String>,
    pub(crate) database: tokio_postgres::Client,
    pub(crate) consumer: Arc<Function>,
    pub(crate) dispatcher: Arc<Function>,
    minute: JoinHandle<()>,
}

/// What a station is to be.
pub(crate) struct Plan<'a> {
    /// The database; made by [`Bench::database`].
    pub(crate) database: &'a str,
    /// How many of the simulator's rooms it has.
    pub(crate) rooms: usize,
    /// The pace of each, as the configuration has it. One of a microsecond is none.
    pub(crate) pace: &'a str,
    /// The broker, where there is one.
    pub(crate) amqp_url: Option<&'a str>,
}

/// No pace: nothing that is measured comes close to it.
pub(crate) const OFF: &str = "1us";

impl Station {
    /// Starts the consumer and a dispatcher, and invokes the dispatcher minute by minute, as the schedule does.
    pub(crate) async fn start(bench: &Bench, plan: Plan<'_>) -> Result<Self> {
        let environment = environment(bench, &plan)?;
        let (client, connection) = tokio_postgres::connect(&bench.url_of(plan.database), tokio_postgres::NoTls)
            .await
            .context("no connection to the database")?;
        tokio::spawn(connection);
        let consumer = start(bench, "rabbitmq-consumer", plan.database, &environment).await?;
        let dispatcher = start(bench, "dispatcher", plan.database, &environment).await?;
        let schedule = Arc::clone(&dispatcher);
        let minute = tokio::spawn(async move {
            loop {
                let event = bridge::event::of_schedule("dispatcher", Uuid::new_v4(), jiff::Timestamp::now());
                if schedule.invoke(Bytes::from(event.to_string())).await.is_err() {
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
            }
        });
        let station = Self { environment, database: client, consumer, dispatcher, minute };
        // The first dispatch has copied the rooms into the database by then.
        station.until("select count(*) = (select count(*) from rooms) and count(*) > 0 from lanes").await?;
        Ok(station)
    }

    /// Ends the functions, as if Talkback were not there.
    pub(crate) fn stop(&self) {
        self.minute.abort();
        for function in [&self.consumer, &self.dispatcher] {
            function.kill();
        }
    }

    /// Waits until a query says true.
    pub(crate) async fn until(&self, query: &str) -> Result<()> {
        let end = Instant::now() + PATIENCE;
        let statement = self.database.prepare(query).await?;
        while !self.database.query_one(&statement, &[]).await?.get::<_, bool>(0) {
            if Instant::now() > end {
                bail!("not in time: {query}");
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        Ok(())
    }

    /// Hands events to the consumer one after the other, as the mapping does, and waits until every message is in its
    /// room and written down. The seconds from the first event to the last row.
    pub(crate) async fn relay(&self, bench: &Bench, events: Vec<Bytes>, messages: usize) -> Result<f64> {
        let before = bench.chat.post_count();
        let start = Instant::now();
        for event in events {
            self.consumer.invoke(event).await?;
        }
        bench.posts(before + messages, PATIENCE).await?;
        self.until(
            "select not exists (select 1 from deliveries where state in ('queued', 'sending', 'scheduled', 'held'))",
        )
        .await?;
        let took = start.elapsed().as_secs_f64();
        let posts = bench.chat.post_count() - before;
        if posts != messages {
            bail!("{posts} posts for {messages} messages");
        }
        Ok(took)
    }
}

impl Drop for Station {
    fn drop(&mut self) {
        self.minute.abort();
    }
}

/// Starts a function on a database.
pub(crate) async fn start(
    bench: &Bench,
    name: &str,
    database: &str,
    environment: &BTreeMap<String, String>,
) -> Result<Arc<Function>> {
    let log = bench.dir.join("logs").join(format!("{database}-{name}"));
    Ok(Arc::new(Function::start(name, &bench.program(name)?, environment, &log, &bench.ledger).await?))
}

/// The functions' environment.
pub(crate) fn environment(bench: &Bench, plan: &Plan<'_>) -> Result<BTreeMap<String, String>> {
    let file: PathBuf = bench.dir.join(format!("{}.toml", plan.database));
    std::fs::write(&file, configuration(plan.rooms, plan.pace)).context("cannot write the configuration")?;
    let key = talkback::relay::accept::fingerprint(KEY, None).iter().map(|b| format!("{b:02x}")).collect::<String>();
    let set = [
        ("DATABASE_URL", bench.url_of(plan.database)),
        ("TALKBACK_CONFIG", file.display().to_string()),
        ("TALKBACK_DATA_KEYS", format!("k1:{}", STANDARD.encode([7; 32]))),
        ("TALKBACK_LOOKUP_KEY", STANDARD.encode([9; 32])),
        ("TALKBACK_SEND_KEYS", format!("bench:{key}:bench|bench.*:urgent:rooms")),
        ("GROUPME_API_URL", bench.chat.api_url()),
        ("GROUPME_IMAGE_URL", bench.chat.image_url()),
        ("AMQP_URL", plan.amqp_url.unwrap_or_default().to_owned()),
        ("RUST_LOG", "info".to_owned()),
    ];
    Ok(set.map(|(name, value)| (name.to_owned(), value)).into())
}

/// So many rooms of the simulator, each with the source that goes there.
fn configuration(rooms: usize, pace: &str) -> String {
    // What one key may send is not what is measured.
    let mut text = "[send]\nper_minute = 1000000\nburst = 1000000\n[[exchanges]]\nname = \"source_exchange\"\n\
                    type = \"topic\"\npatterns = [\"source.#\"]\ndeclare = true\n"
        .to_owned();
    for n in 0..rooms {
        let (bot, group) = (Bench::bot(n), Bench::group(n));
        text += &format!(
            "[[rooms]]\nname = \"room-{n}\"\nbot_id = \"{bot}\"\ngroup = \"{group}\"\npace = \"{pace}\"\n\
             [[routes]]\npattern = \"source.bench.room{n}\"\nrooms = [\"room-{n}\"]\n"
        );
    }
    text
}

/// What each message says: as long as a machine's report is.
pub(crate) fn body(n: usize) -> String {
    format!("Signal lost on the main stream of studio B; the backup encoder has taken over. Report {n}.")
}

/// The events of so many messages, to the rooms in turn.
pub(crate) fn events(messages: usize, rooms: usize, batch: usize) -> Vec<Bytes> {
    let all: Vec<Value> = (0..messages).map(|n| message(&format!("source.bench.room{}", n % rooms), n)).collect();
    let event = |chunk: &[Value]| Bytes::from(bridge::event::of_queue("talkback", "/", chunk).to_string());
    all.chunks(batch).map(event).collect()
}

/// One message, stamped, as Amazon MQ writes it.
fn message(key: &str, n: usize) -> Value {
    let text = |text: &str| json!({ "bytes": text.as_bytes() });
    let body = json!({ "body": body(n), "uid": Uuid::new_v4().to_string() }).to_string();
    let death = json!([{
        "count": 1, "reason": text("expired"), "queue": text("talkback.stamp"), "exchange": text("source_exchange"),
        "routing-keys": [text(key)], "time": jiff::Timestamp::now().strftime("%b %-d, %Y, %-I:%M:%S %p").to_string(),
    }]);
    json!({
        "basicProperties": {
            "contentType": "application/json", "headers": { "x-death": death }, "deliveryMode": 2, "priority": null,
            "bodySize": body.len(),
        },
        "redelivered": false,
        "data": STANDARD.encode(&body),
    })
}
