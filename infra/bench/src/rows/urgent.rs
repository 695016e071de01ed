//! How long an urgent message takes from its producer to the chat while something is down. The producer is
//! `talkback-send` with a patience of three seconds, started anew for each message, as a script would; before it stands
//! the real broker, with the bridge as its event source mapping.
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use nix::sys::signal::Signal;
use talkback::config::Settings;
use talkback::relay::Relay;
use xtask::accounts;
use xtask::children::Child;
use xtask::progress::say;
use xtask::servers::{RabbitMq, RabbitMqOptions};

use crate::bench::Bench;
use crate::figure::{Figure, Target, median, quantile};
use crate::invoke_api::InvokeApi;
use crate::station::{OFF, Plan, Station, body};

/// How long Talkback has before its producer posts by itself.
const PATIENCE: &str = "3s";

/// The rows.
pub(crate) async fn rows(bench: &mut Bench) -> Result<Vec<Figure>> {
    let messages = bench.size(20, 2);
    let dir = bench.dir.join("rabbitmq");
    drop(xtask::pids::Ledger::open(dir.join("pids")));
    drop(std::fs::remove_dir_all(&dir));
    let mut broker = RabbitMq::start(&dir, RabbitMqOptions::default())?;
    bench.database("urgent").await?;
    let amqp_url = broker.url();
    let plan = Plan { database: "urgent", rooms: 1, pace: OFF, amqp_url: Some(&amqp_url) };
    declare(&crate::station::environment(bench, &plan)?).await?;
    let station = Station::start(bench, plan).await?;
    let mut bridge = Bridge::start(bench, &station, &amqp_url).await?;
    let producer = Producer { bench: bench.dir.as_path(), program: bench.program("talkback-send")?, amqp_url };
    // Everything is up: the way is tried, and what the first start costs is paid.
    producer.say(bench, 0).await.context("with everything up")?;

    let mut figures = Vec::new();
    let mut row = |down: &str, seconds: &[f64], bench: &Bench| {
        say(format!("    {down}: median {:.2} s of {}", median(seconds), seconds.len()));
        let figure = format!("urgent, publish to seen, p99 of {}, {down}", seconds.len());
        figures.push(Figure::new(&figure, "s", quantile(seconds, 0.99), Target::AtMost(5.0), !bench.quick));
    };

    bench.postgres.freeze();
    let seconds = several(bench, &producer, messages).await;
    bench.postgres.thaw();
    row("Postgres frozen", &seconds?, bench);
    // What was put aside is recorded before anything else goes down.
    station.until("select not exists (select 1 from messages where answer in ('due', 'giving'))").await?;

    broker.kill();
    let seconds = several(bench, &producer, messages).await;
    broker.start_again()?;
    row("broker killed", &seconds?, bench);

    bridge.child.stop(Duration::from_secs(3));
    station.stop();
    row("relay stopped (talkback-send, patience 3 s)", &several(bench, &producer, messages).await?, bench);
    Ok(figures)
}

async fn several(bench: &Bench, producer: &Producer<'_>, messages: usize) -> Result<Vec<f64>> {
    let mut seconds = Vec::new();
    for n in 1..=messages {
        seconds.push(producer.say(bench, n).await?);
    }
    Ok(seconds)
}

/// Exchanges and queues, as the function `migrate` makes them.
async fn declare(environment: &std::collections::BTreeMap<String, String>) -> Result<()> {
    let settings = Settings::from_vars(&environment.clone().into_iter().collect())?;
    let relay = Relay::new(settings, "migrate")?;
    let broker = relay.broker.as_ref().context("no broker")?;
    broker.declare(&relay.settings.exchanges, relay.settings.lanes.retry_ttl).await?;
    Ok(())
}

/// The bridge, and where it invokes the consumer.
struct Bridge {
    child: Child,
    _api: InvokeApi,
}

impl Bridge {
    async fn start(bench: &Bench, station: &Station, amqp_url: &str) -> Result<Self> {
        let api = InvokeApi::start(std::sync::Arc::clone(&station.consumer)).await?;
        let mut command = accounts::command(&bench.program("bridge")?, None, Path::new("/"), "KILL")?;
        command
            .args(["--invoke", &api.url, "--queue", "talkback", "--function", "rabbitmq-consumer", "--window", "10ms"])
            .env("AMQP_URL", amqp_url);
        let log = xtask::children::log_file(&bench.dir.join("logs/bridge"))?;
        command.stdout(log.try_clone()?).stderr(log);
        Ok(Self { child: Child::start("bridge", command, Signal::SIGTERM, &bench.ledger)?, _api: api })
    }
}

/// A producer that says one urgent thing at a time.
struct Producer<'a> {
    bench: &'a Path,
    program: std::path::PathBuf,
    amqp_url: String,
}

impl Producer<'_> {
    /// The seconds from the start of the program until the first post of it; waits until the program has ended, and
    /// with it every post that it makes.
    async fn say(&self, bench: &Bench, n: usize) -> Result<f64> {
        let text = format!("{} {}", body(n), uuid::Uuid::new_v4());
        let before = bench.chat.post_count();
        let start = Instant::now();
        let child = tokio::process::Command::from(self.command(bench, &text)).kill_on_drop(true).output();
        let output = tokio::time::timeout(Duration::from_secs(60), child).await.context("talkback-send stays")??;
        let posts = bench.chat.posts_from(before);
        let seen = posts.iter().find(|post| post.text.as_ref().is_some_and(|said| said.contains(&text)));
        let Some(seen) = seen else {
            bail!("talkback-send posted nothing: {}", String::from_utf8_lossy(&output.stderr))
        };
        Ok(seen.at.duration_since(start).as_secs_f64())
    }

    fn command(&self, bench: &Bench, text: &str) -> Command {
        let mut command = Command::new(&self.program);
        command
            .args(["--source", "source.bench.room0", "--priority", "urgent", "--patience", PATIENCE, text])
            .env_clear()
            .env("AMQP_URL", &self.amqp_url)
            .env("GROUPME_BOT_ID", Bench::bot(0))
            .env("GROUPME_API_URL", bench.chat.api_url())
            .env("TALKBACK_SEND_PACE", OFF)
            .env("TALKBACK_SEND_SPOOL", self.bench.join("spool"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }
}
