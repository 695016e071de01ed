//! Wires the bridge: arguments, environment, logs, signals.
use std::io::{Read as _, Write as _};
use std::process::ExitCode;

use anyhow::Context as _;
use bridge::arguments::{self, Command, Publish, Run, USAGE};
use bridge::consume::{Mapping, Stop, stopped};
use bridge::function::Functions;
use secrecy::SecretString;
use talkback::broker::{Broker, Props};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;

fn main() -> ExitCode {
    let command = match arguments::read(std::env::args().skip(1)) {
        Ok(command) => command,
        Err(wrong) => return fail(&format!("bridge: {wrong}; bridge --help says more"), 2),
    };
    log();
    let outcome = match command {
        Command::Help => return if say(USAGE).is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE },
        Command::Run(run) => runtime().and_then(|runtime| runtime.block_on(bridge(run))),
        Command::Publish(publish) => runtime().and_then(|runtime| runtime.block_on(publish_one(publish))),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&format!("bridge: {error:#}"), 1),
    }
}

/// Logs go to stderr; stdout is for what others read.
fn log() {
    let wanted = std::env::var("RUST_LOG").ok().and_then(|wanted| wanted.parse::<Targets>().ok());
    let quiet: Targets = talkback::broker::QUIET.parse().unwrap_or_default();
    let filter = wanted.unwrap_or_else(|| Targets::new().with_default(LevelFilter::INFO)).with_targets(quiet);
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(false);
    tracing_subscriber::registry().with(lines.with_filter(filter)).init();
}

fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().context("cannot start")
}

fn amqp_url() -> anyhow::Result<SecretString> {
    std::env::var("AMQP_URL").map(SecretString::from).ok().context("AMQP_URL is not set")
}

async fn bridge(run: Run) -> anyhow::Result<()> {
    let functions = Functions::new(&run.invoke).context("cannot make an HTTP client")?;
    let (order, mut stop) = watch::channel(false);
    let mut signals = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let mapping = match run.queue {
        Some(queue) => {
            let url = amqp_url()?;
            let of_url = talkback::broker::vhost_of(&url)?;
            let mapping = Mapping {
                queue: queue.name,
                vhost: queue.vhost.unwrap_or(of_url),
                function: queue.function,
                batch: queue.batch,
                window: queue.window,
                limit: queue.limit,
            };
            Some((mapping, url))
        }
        None => None,
    };
    // A tick that is cut off loses nothing, its function goes on: so they end with the set.
    let mut ticks = JoinSet::new();
    for tick in run.ticks {
        ticks.spawn(tick.run(functions.clone()));
    }
    let work = async {
        match mapping {
            Some((mapping, url)) => mapping.run(&url, &functions, stop.clone(), announce).await,
            None => wait_ready(&mut stop).await,
        }
    };
    tokio::select! {
        () = work => {}
        () = obey(&mut signals, &order) => {}
    }
    Ok(())
}

async fn wait_ready(stop: &mut Stop) {
    announce();
    stopped(stop).await;
}

/// Gives the order to stop with the first signal, and again with each: Ctrl-C reaches the whole process group, and who
/// started the bridge tells it once more. It ends by itself, soon.
async fn obey(signals: &mut (Signal, Signal), order: &watch::Sender<bool>) {
    loop {
        tokio::select! {
            _ = signals.0.recv() => {}
            _ = signals.1.recv() => {}
        }
        order.send_replace(true);
    }
}

fn announce() {
    // Who started it without reading its output does not wait for it either.
    let _ = say("ready");
}

async fn publish_one(publish: Publish) -> anyhow::Result<()> {
    let mut body = Vec::new();
    std::io::stdin().read_to_end(&mut body).context("cannot read the body from the input")?;
    let broker = Broker::new(amqp_url()?, "bridge publish")?;
    let props = Props {
        content_type: publish.content_type,
        reply_to: publish.reply_to,
        correlation_id: publish.correlation_id,
        message_id: publish.message_id,
        headers: publish.headers,
        ..Props::default()
    };
    let published = broker.publish(&publish.exchange, &publish.key, &body, &props, true).await;
    broker.close().await;
    published.with_context(|| format!("exchange {:?}, key {:?}", publish.exchange, publish.key))
}

fn say(line: &str) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()
}

fn fail(line: &str, code: u8) -> ExitCode {
    // Nothing can be said where stderr is closed.
    let _ = writeln!(std::io::stderr(), "{line}");
    ExitCode::from(code)
}
