//! A station as infra/talkback.toml has it, behind a real broker: its topology, the bridge, and the consumer behind
//! Lambda's HTTP interface; and programs that publish as the station's do.
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, RwLock};
use std::time::Duration;

use axum::extract::{DefaultBodyLimit, State};
use axum::http::StatusCode;
use axum::routing::post;
use axum::{Json, Router};
use bridge::consume::Mapping;
use bridge::function::Functions;
use lambda_runtime::{Context, LambdaEvent};
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::{BasicProperties, Connection};
use secrecy::SecretString;
use serde_json::{Value, json};
use talkback::broker::{QUEUE, connect};
use talkback::relay::Relay;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;

use crate::gallery::Gallery;
use crate::station::{BOT, GROUP, MEMBER, OTHER_BOT, OTHER_GROUP, PATIENCE, Setup, Station};
use crate::vhost::Vhost;

pub struct Wire {
    pub station: Station,
    pub vhost: Vhost,
    /// One connection for all that the story looks at.
    db: tokio_postgres::Client,
    /// How many messages the consumer has done with.
    taken: watch::Receiver<u64>,
    /// How often the consumer was invoked.
    pub invocations: Arc<AtomicU64>,
    /// What the consumer's process has in it.
    consumer: Arc<RwLock<Relay>>,
    stop: watch::Sender<bool>,
    bridge: JoinHandle<()>,
}

/// The rooms, routes, exchanges and the zone of the example, at the pace of a test, and the room `board` that one of
/// the events asks for. The times of the lanes are those of a test.
pub fn example() -> Setup {
    let file = include_str!("../../../infra/talkback.toml");
    let (rooms, rest) = file.split_once("[lanes]").unwrap();
    let (_, rest) = rest.split_once("[media]").unwrap();
    let paced = rooms.replace("# pace = \"1s\" ", "pace = \"20ms\" ");
    assert_ne!(paced, rooms, "the example shows the pace");
    let board = format!("[[rooms]]\nname = \"board\"\nbot_id = \"{OTHER_BOT}\"\ngroup = \"{OTHER_GROUP}\"\n");
    Setup {
        rooms: format!("{paced}[media]{rest}\n{board}"),
        vars: vec![("GROUPME_BOT_ID", BOT.to_owned()), ("GROUPME_GROUP_ID", GROUP.to_owned())],
        bots: vec![(OTHER_BOT.to_owned(), OTHER_GROUP.to_owned())],
        ..Setup::default()
    }
}

/// The same with a member's token, and with a gallery of pictures open to it.
pub fn with_gallery(setup: Setup, gallery: &Gallery) -> Setup {
    let rooms = setup.rooms.replace("allow = []", &format!("allow = [\"{}\"]", gallery.site()));
    assert_ne!(rooms, setup.rooms, "the example shows which hosts are open");
    let vars = [setup.vars, vec![("GROUPME_ACCESS_TOKEN", MEMBER.to_owned())]].concat();
    Setup { rooms, vars, ..setup }
}

impl Wire {
    /// Starts everything; messages flow when it returns.
    pub async fn open(setup: Setup) -> Self {
        let vhost = Vhost::new().await;
        let mut setup = setup;
        setup.vars.push(("AMQP_URL", vhost.url()));
        let mut station = Station::with(setup).await;
        station.start_dispatcher();
        let relay = station.relay("migrate");
        let declared = migrate::handle(&relay, LambdaEvent::new(json!({}), Context::default())).await;
        declared.unwrap_or_else(|error| panic!("{error:?}"));

        let (count, taken) = watch::channel(0);
        let invocations = Arc::<AtomicU64>::default();
        let consumer = Arc::new(RwLock::new(station.relay("rabbitmq-consumer")));
        let app = Router::new()
            .route("/2015-03-31/functions/rabbitmq-consumer/invocations", post(invoked))
            .layer(DefaultBodyLimit::max(bridge::event::LARGEST))
            .with_state((Arc::clone(&consumer), count, Arc::clone(&invocations)));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let functions = Functions::new(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
        tokio::spawn(async move { axum::serve(listener, app).await });

        let url = SecretString::from(vhost.url());
        let mapping = Mapping {
            queue: QUEUE.to_owned(),
            vhost: talkback::broker::vhost_of(&url).unwrap(),
            function: "rabbitmq-consumer".to_owned(),
            batch: 100,
            window: Duration::from_millis(10),
            limit: PATIENCE,
        };
        let (stop, order) = watch::channel(false);
        let (ready, is_ready) = oneshot::channel();
        let bridge =
            tokio::spawn(async move { mapping.run(&url, &functions, order, || ready.send(()).unwrap()).await });
        is_ready.await.unwrap();
        let db = station.db().await;
        Self { station, vhost, db, taken, invocations, consumer, stop, bridge }
    }

    /// A connection as a producer has.
    pub async fn client(&self) -> Connection {
        connect(&self.vhost.url().into(), None, "a producer", PATIENCE).await.unwrap()
    }

    /// Publishes with just these properties, and waits until the consumer has done with it.
    pub async fn publish(&self, exchange: &str, key: &str, body: &[u8], properties: BasicProperties) {
        let before = *self.taken.borrow();
        let connection = self.client().await;
        let channel = connection.create_channel().await.unwrap();
        channel.confirm_select(ConfirmSelectOptions::default()).await.unwrap();
        // What nothing takes comes back as an error, not in silence.
        let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
        let confirm = channel.basic_publish(exchange.into(), key.into(), options, body, properties).await.unwrap();
        let confirm = confirm.await.unwrap();
        assert!(confirm.is_ack() && confirm.take_message().is_none(), "nothing takes {key} of {exchange}");
        connection.close(200, "bye".into()).await.unwrap();
        let mut taken = self.taken.clone();
        let done = tokio::time::timeout(PATIENCE, taken.wait_for(|taken| *taken > before)).await;
        assert!(done.is_ok(), "{key} of {exchange} never came to the consumer");
    }

    /// Waits until the consumer has done with so many messages, and with what it does after that.
    pub async fn done(&self, count: u64) {
        let mut taken = self.taken.clone();
        let done = tokio::time::timeout(PATIENCE, taken.wait_for(|taken| *taken >= count)).await;
        assert!(done.is_ok(), "{count} messages never came to the consumer");
    }

    /// A query's single text column.
    pub async fn column(&self, query: &str) -> Vec<String> {
        self.db
            .query(query, &[])
            .await
            .unwrap()
            .iter()
            .map(|row| row.try_get(0).unwrap_or_else(|e| panic!("{query}: {e}")))
            .collect()
    }

    /// The consumer's process dies between two batches, and another takes its place, which remembers nothing.
    pub fn consumer_dies(&self) {
        *self.consumer.write().unwrap() = self.station.relay("rabbitmq-consumer");
    }

    /// Ends it although there is much left to be posted.
    pub async fn abandon(mut self) {
        self.station.kill_dispatcher().await;
        self.stop.send_replace(true);
        self.bridge.await.unwrap();
        self.vhost.broker.close().await;
        self.vhost.gone().await;
        self.station.sim.stop().await;
    }

    /// Ends it in order.
    pub async fn end(self) {
        self.stop.send_replace(true);
        self.bridge.await.unwrap();
        self.station.end().await;
        self.vhost.broker.close().await;
        self.vhost.gone().await;
    }
}

/// The consumer, how many messages it has done with, and how often it was invoked.
type Consumer = (Arc<RwLock<Relay>>, watch::Sender<u64>, Arc<AtomicU64>);

/// One invocation, as the emulator has it.
async fn invoked(
    State((relay, count, invocations)): State<Consumer>,
    Json(event): Json<Value>,
) -> (StatusCode, Json<Value>) {
    invocations.fetch_add(1, Ordering::Relaxed);
    let relay = relay.read().unwrap().clone();
    match rabbitmq_consumer::handle(&relay, LambdaEvent::new(event, Context::default())).await {
        Ok(answer) => {
            count.send_modify(|count| *count += answer["records"].as_u64().unwrap());
            (StatusCode::OK, Json(answer))
        }
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, Json(json!(error.to_string()))),
    }
}
