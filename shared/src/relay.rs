//! Accept and dispatch: the one place that knows all the parts.
//!
//! Every function does the same two things: [`Relay::accept`] stores messages with their planned deliveries,
//! idempotent on the uid; [`Relay::dispatch`] posts, while there is time, the parts of rooms that have due work. So a
//! redelivered batch, a retry, a scheduled send, a throttled backlog, a replay and a chat reply are one mechanism.
pub mod accept;
mod answer;
pub mod aside;
mod ask;
mod attempt;
mod awake;
pub mod batch;
mod channels;
mod dead;
mod direct;
pub mod dispatch;
pub mod erase;
mod finish;
mod lane;
mod measure;
mod obey;
mod outage;
mod own;
pub mod pause;
mod people;
mod pictures;
pub mod plan;
mod private;
pub(crate) mod prove;
mod publish;
pub mod sent;
mod settle;
pub mod stop;
mod strike;
mod tell;
pub mod tend;
mod told;
pub mod transcript;
pub mod unrecorded;

pub(crate) use tell::spoken;

use std::sync::Arc;

use tokio::sync::OnceCell;

use crate::broker::{Broker, BrokerError};
use crate::channel::{self, Channel, ChannelError};
use crate::config::{Room, Settings};
use crate::fetch::Names;
use crate::seal::Place;
use crate::send_key::limit::Limits;
use crate::store::rooms::RoomRow;
use crate::store::{Store, StoreError};

/// All that the relay may touch.
#[derive(Clone)]
pub struct Relay {
    /// What is set from outside.
    pub settings: Arc<Settings>,
    /// Postgres.
    pub store: Store,
    /// RabbitMQ, where `AMQP_URL` is set.
    pub broker: Option<Arc<Broker>>,
    /// The name of the function that runs it.
    pub function: &'static str,
    /// How the names of picture servers are looked up.
    pub names: Names,
    /// The order to stop, for who works on its own: Lambda gives none.
    pub stop: stop::Stop,
    synced: Arc<OnceCell<()>>,
    outage: Arc<outage::Outage>,
    /// What each key has sent lately.
    pub limits: Arc<Limits>,
}

/// Why a relay cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum RelayError {
    /// `DATABASE_CA_FILE` cannot be read.
    #[error("DATABASE_CA_FILE: cannot be read")]
    CaFile,
    /// The database's settings are wrong.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The broker's address is wrong.
    #[error(transparent)]
    Broker(#[from] BrokerError),
}

/// Connections of one function to Postgres at most.
pub const CONNECTIONS: usize = 6;

impl Relay {
    /// Prepares a relay; connects to nothing yet, so that a function can start while a dependency is down.
    ///
    /// # Errors
    /// Settings that cannot work, named.
    pub fn new(settings: Settings, function: &'static str) -> Result<Self, RelayError> {
        let ca = match &settings.database_ca_file {
            Some(path) => Some(std::fs::read(path).map_err(|_| RelayError::CaFile)?),
            None => None,
        };
        let store = Store::new(&settings.database_url, ca.as_deref(), settings.lanes.statement_timeout, CONNECTIONS)?;
        let broker = match &settings.amqp_url {
            Some(url) => Some(Arc::new(Broker::new(url.clone(), &format!("talkback {function}"))?)),
            None => None,
        };
        Ok(Self {
            settings: Arc::new(settings),
            store,
            broker,
            function,
            names: Names::system(),
            stop: stop::Stop::default(),
            synced: Arc::new(OnceCell::new()),
            outage: Arc::default(),
            limits: Arc::default(),
        })
    }

    /// To be called at the start of every invocation: copies the rooms of the configuration into the database, and
    /// whether our calls are to be published, once in the life of a process.
    ///
    /// # Errors
    /// The database is unavailable; the next call tries again.
    pub async fn wake(&self) -> Result<(), StoreError> {
        self.synced.get_or_try_init(|| self.sync_rooms()).await.copied()
    }

    async fn sync_rooms(&self) -> Result<(), StoreError> {
        let token = self.settings.groupme.access_token.is_some();
        let rows: Vec<RoomRow<'_>> = self
            .settings
            .rooms
            .iter()
            .map(|room| RoomRow { room, fingerprint: self.fingerprint(room), readable: token })
            .collect();
        self.store.sync_rooms(&rows).await?;
        self.sync_publishing().await
    }

    /// Changes when the room's address, group or token changes.
    pub(crate) fn fingerprint(&self, room: &Room) -> Vec<u8> {
        use secrecy::ExposeSecret as _;
        let token = self.settings.groupme.access_token.as_ref().map_or("", |t| t.expose_secret());
        let value = format!("{}\n{}\n{}\n{}", room.channel, room.bot_id.expose_secret(), room.group, token);
        self.settings.lookup.hash("room", value.as_bytes())
    }

    /// Whether a dispatcher is at work, and stays for a while yet: it looks for due work at least each second.
    ///
    /// # Errors
    /// The database is unavailable.
    pub async fn dispatcher_works(&self) -> Result<bool, StoreError> {
        let lanes = &self.settings.lanes;
        let stay = lanes.stay.min(lanes.stay_unknown_deadline).saturating_sub(lanes.poll * 2);
        self.store.seen_within("dispatcher", stay).await
    }

    /// The configured room of this name.
    #[must_use]
    pub fn room(&self, name: &str) -> Option<&Room> {
        self.settings.rooms.iter().find(|room| room.name == name)
    }

    /// The names of all configured rooms.
    #[must_use]
    pub fn room_names(&self) -> Vec<String> {
        self.settings.rooms.iter().map(|room| room.name.clone()).collect()
    }

    /// Seals a value for its place.
    pub(crate) fn sealed(&self, table: &'static str, column: &'static str, row: &str, plain: &[u8]) -> Vec<u8> {
        self.settings.data_keys.seal(Place { table, column, row }, plain)
    }

    /// A channel for one dispatch.
    pub(crate) fn channel(&self, room: &Room) -> Result<Box<dyn Channel>, ChannelError> {
        channel::make(&room.channel, &self.settings)
    }
}
