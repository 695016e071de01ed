//! The whole machinery of one story: database, virtual host, simulated GroupMe, emulator, functions, bridge, clock.
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use groupme_sim::{Bot, Fault, Sim, SimConfig, What};
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use talkback::broker::Props;
use tokio::task::JoinSet;
use tokio::time::{Instant, interval, sleep_until};
use xtask::children::Child;
use xtask::images::Tool;
use xtask::pids::Ledger;

use super::emulator::{Emulator, folder, program, start};
use super::functions::{Functions, Launch};
use super::ticks::{Clock, tick};
use super::traffic::Message;
use crate::gallery::Gallery;
use crate::station::{KEY, MEMBER, TOKEN, connect, new_database, required, sha256};
use crate::vhost::Vhost;

/// How long a story waits for what must come.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// How many posts may go at once after a silence.
pub const BURST: u32 = 3;

/// The exchange of the station's programs.
pub const SOURCE: &str = "source_exchange";

/// How the machinery of a story differs.
pub struct Setup {
    /// The folder of its logs.
    pub story: &'static str,
    /// How many rooms, each with a bot and a group of its own.
    pub rooms: usize,
    /// How long the chat takes for each answer.
    pub slow: Duration,
    /// Whether a member's token is set, so that rooms can be read back.
    pub readable: bool,
    /// Lines of `[lanes]`, over the usual ones.
    pub lanes: &'static str,
    /// Further settings of the functions.
    pub vars: Vec<(&'static str, String)>,
    /// The most messages of one batch.
    pub batch: u16,
    /// How many processes of the dispatcher run.
    pub dispatchers: usize,
    /// How long one invocation of the consumer may take.
    pub invocation: &'static str,
    /// A migrated database on a server of the story's own.
    pub database: Option<String>,
    /// A broker of the story's own: its URL, and its management API.
    pub broker: Option<(String, String)>,
    /// The port by which the functions reach the broker, where that is not its own.
    pub amqp_port: Option<u16>,
    /// How many of the consumer.
    pub consumers: usize,
    /// How many of `send`.
    pub sends: usize,
    /// The pace of each room, of which three may go at once.
    pub pace: &'static str,
    /// How long producers of listeners' texts wait for an answer.
    pub patience: &'static str,
    /// Processes whose clocks are wrong, and by how many seconds.
    pub clocks: &'static [(&'static str, i64)],
    /// The usual times, and the dispatcher invoked by the bridge each minute; else short times, and a dispatcher that is
    /// invoked as soon as it is free.
    pub usual: bool,
    /// Who has the functions' images, where they are to run from those.
    pub images: Option<Tool>,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            story: "story",
            rooms: 4,
            slow: Duration::from_millis(80),
            readable: true,
            lanes: "",
            vars: Vec::new(),
            batch: 5,
            dispatchers: 1,
            invocation: "3s",
            database: None,
            broker: None,
            amqp_port: None,
            consumers: 1,
            sends: 4,
            pace: "5ms",
            patience: "15s",
            clocks: &[],
            usual: false,
            images: None,
        }
    }
}

/// The times of design.md, by ten to fifteen; a killed process's lease is over before the next kill of its kind.
const LANES: [(&str, &str); 14] = [
    ("lease", "\"1500ms\""),
    ("http", "\"700ms\""),
    ("margin", "\"200ms\""),
    ("window", "\"1s\""),
    ("unconfirmed_after", "\"12s\""),
    ("pause_min", "\"50ms\""),
    ("pause_max", "\"1s\""),
    ("slow_for", "\"2s\""),
    ("quantum", "\"500ms\""),
    ("set_aside_delays", "[\"1s\", \"1s\", \"1s\"]"),
    ("stay_unknown_deadline", "\"2s\""),
    ("poll", "\"50ms\""),
    ("statement_timeout", "\"1200ms\""),
    ("retry_ttl", "\"500ms\""),
];

pub fn room(number: usize) -> String {
    format!("room{number}")
}

pub fn bot(number: usize) -> String {
    format!("b07e57b07e57b07e57b07e57{number:02}")
}

pub fn group(number: usize) -> String {
    format!("9021{number:04}")
}

fn configuration(setup: &Setup, gallery: &Gallery) -> String {
    let mut text = gallery.media("timeout = \"1s\"\npatience = \"2s\"");
    for number in 0..setup.rooms {
        text += &format!(
            "[[rooms]]\nname = \"{}\"\nbot_id = \"{}\"\ngroup = \"{}\"\npace = \"{}\"\nburst = {BURST}\n",
            room(number),
            bot(number),
            group(number),
            setup.pace
        );
    }
    text += &format!(
        "[[routes]]\npattern = \"source.twilio.sms.incoming\"\nrooms = [\"room0\"]\npatience = \"{}\"\n\
         [[routes]]\npattern = \"source.#\"\nrooms = [\"room0\"]\n",
        setup.patience
    );
    text += &format!(
        "[[exchanges]]\nname = \"{SOURCE}\"\ntype = \"topic\"\npatterns = [\"source.#\"]\ndeclare = true\n[lanes]\n"
    );
    let own: Vec<&str> = setup.lanes.lines().filter_map(|line| line.split(" = ").next()).collect();
    for (key, value) in LANES.iter().filter(|(key, _)| !setup.usual && !own.contains(key)) {
        text += &format!("{key} = {value}\n");
    }
    text + setup.lanes + "\n"
}

pub struct Works {
    pub sim: Sim,
    pub functions: Functions,
    /// What the functions are told.
    pub vars: BTreeMap<String, String>,
    pub vhost: Vhost,
    pub database_url: String,
    pub folder: PathBuf,
    pub emulator: Emulator,
    pub rooms: usize,
    pub readable: bool,
    /// Where pictures lie.
    pub gallery: Gallery,
    bridge: Child,
    _clock: Clock,
}

impl Works {
    /// Starts everything and waits until messages flow.
    pub async fn start(setup: Setup) -> Self {
        talkback::tls::install_ring();
        let folder = folder(setup.story);
        let ledger = Arc::new(Ledger::open(folder.join("pids")).unwrap());
        let bots = (0..setup.rooms).map(|n| Bot {
            bot_id: bot(n),
            group_id: group(n),
            name: "Talkback".into(),
            callback_url: None,
        });
        let config = SimConfig { bots: bots.collect(), access_token: Some(MEMBER.into()), port: 0 };
        let database = async {
            match &setup.database {
                Some(url) => url.clone(),
                None => new_database().await,
            }
        };
        let vhost = async {
            match &setup.broker {
                Some((url, api)) => Vhost::at(url, api).await,
                None => Vhost::new().await,
            }
        };
        let (database_url, vhost, sim, emulator) =
            tokio::join!(database, vhost, Sim::start(config), Emulator::start(&folder, &ledger));
        let sim = sim.unwrap();
        let gallery = Gallery::open().await;
        for number in 0..setup.rooms {
            sim.set_callback_url(&bot(number), format!("{}/groupme/callback/{TOKEN}", emulator.url()));
        }
        sim.fault(Fault::always(What::Slow(setup.slow)));
        let amqp = match setup.amqp_port {
            Some(port) => vhost.url_by(port),
            None => vhost.url(),
        };
        let vars = environment(&setup, &gallery, &database_url, &amqp, &sim);
        let launch = Launch {
            environment: vars.clone(),
            runtime: format!("{}/.rt", emulator.url()),
            folder: folder.clone(),
            ledger: Arc::clone(&ledger),
            clocks: setup.clocks,
            images: setup.images.clone(),
        };
        let counts = [
            ("send", setup.sends),
            ("groupme-callback", 2),
            ("rabbitmq-consumer", setup.consumers),
            ("dispatcher", setup.dispatchers),
            ("migrate", 1),
        ];
        let (functions, started) = Functions::start(launch, &counts);
        let invoker = emulator.invoker();
        let migrated = invoker.invoke("migrate", &json!({}), PATIENCE).await;
        assert_eq!(migrated, Some((200, json!({ "applied": [], "topology": true }))), "{}", folder.display());
        let clock = Clock(if setup.usual { tokio::spawn(async {}) } else { tokio::spawn(tick(invoker, started)) });
        let mut command = program(&PathBuf::from(required("TALKBACK_TEST_BIN")).join("bridge"));
        command
            .args(["--queue", talkback::broker::QUEUE, "--function", "rabbitmq-consumer", "--invoke", &emulator.url()])
            .args(["--batch", &setup.batch.to_string(), "--window", "50ms", "--timeout", setup.invocation])
            .args(if setup.usual { ["--tick", "dispatcher=60s"].as_slice() } else { &[] })
            .env("AMQP_URL", vhost.url());
        let bridge = start("bridge", command, &folder, &ledger);
        let log = folder.join("bridge.log");
        let ready = async || std::fs::read_to_string(&log).is_ok_and(|log| log.contains("ready")).then_some(());
        eventually("the bridge", ready).await;
        Self {
            sim,
            functions,
            vars,
            vhost,
            database_url,
            folder,
            emulator,
            rooms: setup.rooms,
            readable: setup.readable,
            gallery,
            bridge,
            _clock: clock,
        }
    }

    /// Sends messages through their doors, spread over this time; each is pressed until its door has said yes.
    pub fn say(self: &Arc<Self>, said: &[Message], over: Duration) -> JoinSet<()> {
        let begun = Instant::now();
        let mut senders = JoinSet::new();
        for (message, number) in said.iter().cloned().zip(0_u32..) {
            let works = Arc::clone(self);
            let due = begun + over * number / u32::try_from(said.len()).unwrap();
            senders.spawn(async move {
                sleep_until(due).await;
                message.send(&works).await;
            });
        }
        senders
    }

    /// Publishes as a station's program does, and waits for the broker's word.
    pub async fn publish(&self, key: &str, body: &Value, props: &Props) {
        self.vhost.broker.publish(SOURCE, key, body.to_string().as_bytes(), props, true).await.unwrap();
    }

    /// How many calls the chat has read whose callers took no answer.
    pub fn cut_off(&self) -> usize {
        let long_ago = |post: &&groupme_sim::Post| post.at.elapsed() > Duration::from_secs(1);
        self.sim.posts().iter().filter(long_ago).filter(|post| post.answer.is_none()).count()
    }

    /// How many calls were not made, or not answered, in their time: their callers were frozen meanwhile.
    pub fn late(&self) -> usize {
        self.cut_off() + self.abandoned().values().sum::<usize>()
    }

    pub async fn db(&self) -> tokio_postgres::Client {
        connect(&self.database_url).await
    }

    /// The rows of a query with one text column.
    pub async fn column(&self, query: &str) -> Vec<String> {
        let rows = self.db().await.query(query, &[]).await.unwrap();
        rows.iter().map(|row| row.get::<_, Option<String>>(0).unwrap_or_else(|| "null".to_owned())).collect()
    }

    /// Waits until a query's one column reads so.
    pub async fn until(&self, query: &str, wanted: &[&str]) {
        let end = Instant::now() + PATIENCE;
        let mut look = interval(Duration::from_millis(50));
        loop {
            look.tick().await;
            let found = self.column(query).await;
            if found == wanted {
                return;
            }
            assert!(
                Instant::now() < end,
                "{query}\nwanted {wanted:?}\nfound  {found:?}\nlogs: {}",
                self.folder.display()
            );
        }
    }

    /// Ends the story in order: the bridge is told, and obeys.
    pub async fn end(mut self) {
        self.bridge.signal(Signal::SIGTERM);
        let status = eventually("the end of the bridge", async || self.bridge.ended()).await;
        assert!(status.success(), "{status}");
        drop(self.functions);
        self.vhost.broker.close().await;
        self.vhost.gone().await;
        self.sim.stop().await;
    }
}

pub(super) fn environment(
    setup: &Setup,
    gallery: &Gallery,
    database: &str,
    amqp: &str,
    sim: &Sim,
) -> BTreeMap<String, String> {
    let mut vars: BTreeMap<&str, String> = [
        ("DATABASE_URL", database.to_owned()),
        ("AMQP_URL", amqp.to_owned()),
        ("TALKBACK_CONFIG", configuration(setup, gallery)),
        ("TALKBACK_DATA_KEYS", format!("k1:{}", STANDARD.encode([7; 32]))),
        ("TALKBACK_LOOKUP_KEY", STANDARD.encode([9; 32])),
        ("TALKBACK_SEND_KEYS", format!("tests:{}:standard|standard.*:urgent:rooms", sha256(KEY))),
        ("GROUPME_CALLBACK_TOKEN", TOKEN.to_owned()),
        ("GROUPME_API_URL", sim.api_url()),
        ("GROUPME_IMAGE_URL", sim.image_url()),
        ("RUST_LOG", "info".to_owned()),
    ]
    .into();
    if setup.readable {
        vars.insert("GROUPME_ACCESS_TOKEN", MEMBER.to_owned());
    }
    vars.extend(setup.vars.iter().cloned());
    vars.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// Asks again and again until the answer is there.
pub async fn eventually<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let end = Instant::now() + PATIENCE;
    let mut look = interval(Duration::from_millis(10));
    loop {
        look.tick().await;
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(Instant::now() < end, "waited in vain: {what}");
    }
}
