//! A station whose consumer is ours to lead: messages are taken from the queue by hand and handed over in any order.
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use groupme_sim::Line;
use lambda_runtime::{Context, LambdaEvent};
use lapin::options::{BasicAckOptions, BasicGetOptions};
use serde_json::{Value, json};
use talkback::broker::{Props, QUEUE, amazon};
use talkback::compose::{Dress, Medium, Said, compose};
use talkback::message::Uid;
use talkback::relay::Relay;
use talkback_producer::{Producer, Settings};
use tokio::time::{Instant, interval};
use uuid::Uuid;

use crate::setup::usual_rooms;
use crate::station::{BOT, GROUP, MEMBER, PATIENCE, Setup, Station};
use crate::vhost::Vhost;

pub const SOURCE: &str = "source_exchange";

/// A broker that is not there: nobody listens on the port of discard.
pub const NOWHERE: &str = "amqp://a:b@127.0.0.1:9/x";

pub struct Desk {
    pub station: Station,
    pub vhost: Vhost,
    pub folder: PathBuf,
    connection: lapin::Connection,
    channel: lapin::Channel,
}

/// What a producer is told beside the usual.
#[derive(Clone, Copy, Default)]
pub struct Told<'a> {
    /// The way to the broker, where it is not the straight one.
    pub amqp_url: Option<&'a str>,
    /// Without a member's token the room cannot be looked at.
    pub is_blind: bool,
}

/// A folder of this story and this process, emptied.
pub fn folder(story: &str) -> PathBuf {
    let folder =
        Path::new(env!("CARGO_TARGET_TMPDIR")).join("producers").join(format!("{story}-{}", std::process::id()));
    drop(std::fs::remove_dir_all(&folder));
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

impl Desk {
    pub async fn open(story: &str) -> Self {
        let vars = vec![("GROUPME_ACCESS_TOKEN", MEMBER.to_owned())];
        Self::with(story, Setup { rooms: usual_rooms("5ms", 5), vars, ..Setup::default() }).await
    }

    /// One with these rooms and bots.
    pub async fn with(story: &str, setup: Setup) -> Self {
        let vhost = Vhost::new().await;
        let exchanges = format!(
            "[[exchanges]]\nname = \"{SOURCE}\"\ntype = \"topic\"\npatterns = [\"source.#\", \"notification.#\"]\n\
             declare = true\n"
        );
        let setup = Setup {
            rooms: format!("{}\n{exchanges}", setup.rooms),
            vars: [setup.vars, vec![("AMQP_URL", vhost.url())]].concat(),
            ..setup
        };
        let station = Station::with(setup).await;
        let relay = station.relay("migrate");
        migrate::handle(&relay, LambdaEvent::new(json!({}), Context::default())).await.unwrap();
        let connection = talkback::broker::connect(&vhost.url().into(), None, "the desk", PATIENCE).await.unwrap();
        let channel = connection.create_channel().await.unwrap();
        Self { station, vhost, folder: folder(story), connection, channel }
    }

    /// What a producer's settings are made of.
    pub fn vars(&self, told: Told<'_>) -> HashMap<String, String> {
        let mut vars: HashMap<&str, String> = [
            ("AMQP_URL", told.amqp_url.map_or_else(|| self.vhost.url(), str::to_owned)),
            ("GROUPME_BOT_ID", BOT.to_owned()),
            ("GROUPME_API_URL", self.station.sim.api_url()),
            ("TALKBACK_SEND_PACE", "5ms".to_owned()),
            ("TALKBACK_SEND_SPOOL", self.folder.join("spool").display().to_string()),
        ]
        .into();
        if !told.is_blind {
            vars.insert("GROUPME_ACCESS_TOKEN", MEMBER.to_owned());
            vars.insert("GROUPME_GROUP_ID", GROUP.to_owned());
        }
        vars.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }

    pub fn settings(&self, told: Told<'_>, patience: Duration) -> Settings {
        Settings { patience, ..Settings::from_vars(&self.vars(told)).unwrap() }
    }

    pub fn producer(&self, told: Told<'_>, patience: Duration) -> Producer {
        Producer::new(self.settings(told, patience)).unwrap()
    }

    /// Takes the next message out of the queue, as the event has it.
    pub async fn take(&self) -> Option<Value> {
        let message = self.channel.basic_get(QUEUE.into(), BasicGetOptions::default()).await.unwrap()?;
        self.channel.basic_ack(message.delivery.delivery_tag, BasicAckOptions::default()).await.unwrap();
        Some(amazon::message(&message.delivery))
    }

    /// Takes so many originals, which must come.
    pub async fn take_all(&self, count: usize) -> Vec<Value> {
        let mut taken = Vec::new();
        let end = Instant::now() + PATIENCE;
        let mut look = interval(Duration::from_millis(20));
        while taken.len() < count {
            look.tick().await;
            taken.extend(self.take().await.filter(|form| !is_record(form)));
            assert!(Instant::now() < end, "{} of {count} messages came", taken.len());
        }
        taken
    }

    /// Hands a batch to a consumer; one that it could not store comes again, as on Lambda.
    pub async fn consume(&self, relay: &Relay, forms: &[Value]) {
        let event = json!({ "eventSource": "aws:rmq", "rmqMessagesByQueue": { format!("{QUEUE}::/"): forms } });
        let end = Instant::now() + PATIENCE;
        let taken_in = || rabbitmq_consumer::handle(relay, LambdaEvent::new(event.clone(), Context::default()));
        while let Err(error) = taken_in().await {
            assert!(Instant::now() < end, "{error:?}");
        }
    }

    pub fn lines(&self) -> Vec<Line> {
        self.station.sim.lines(GROUP)
    }

    /// Answers a producer as Talkback would.
    pub async fn reply(&self, form: &Value, reply: &Value) {
        let asked = &form["basicProperties"];
        let props = Props { correlation_id: asked["correlationId"].as_str().map(str::to_owned), ..Props::default() };
        let queue = asked["replyTo"].as_str().unwrap();
        self.vhost.broker.publish("", queue, reply.to_string().as_bytes(), &props, true).await.unwrap();
    }

    /// The files that lie in the spool.
    pub fn spooled(&self) -> Vec<PathBuf> {
        let files = std::fs::read_dir(self.folder.join("spool")).into_iter().flatten();
        let is_message = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "json");
        files.map(|file| file.unwrap().path()).filter(is_message).collect()
    }

    /// Ends it in order. A producer and Talkback may speak at the same moment; nothing else may be wrong with a call.
    pub async fn end(self) {
        let both = "a post came while another of the same bot was in the air";
        let complaints: Vec<String> = self.station.sim.take_complaints().into_iter().filter(|c| c != both).collect();
        assert!(complaints.is_empty(), "{complaints:?}");
        let _ = self.connection.close(200, "bye".into()).await;
        self.station.end().await;
        self.vhost.broker.close().await;
        self.vhost.gone().await;
    }
}

/// The texts of a message as the room has to show them.
pub fn texts(uid: Uuid, body: &str) -> Vec<String> {
    let uid = Uid::from_uuid(uid);
    let media: [Medium; 0] = [];
    let said = Said { short_uid: uid.short(), body, media: &media };
    let limits = talkback::channel::limits("groupme").unwrap();
    compose(&said, Dress::Classic, limits).into_iter().map(|draft| draft.text).collect()
}

/// The uid that a producer wrote into a message; what Talkback keeps on the broker for itself has none there.
pub fn uid_in(form: &Value) -> Option<String> {
    let body = STANDARD.decode(form["data"].as_str()?).ok()?;
    let body: Value = serde_json::from_slice(&body).ok()?;
    body["wbor_message_id"].as_str().map(str::to_owned)
}

/// Whether it is a record.
pub fn is_record(form: &Value) -> bool {
    form["basicProperties"]["headers"].get("alreadysent").is_some()
}
