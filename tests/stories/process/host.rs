//! The host: all functions in one process, without an emulator, a bridge or a clock beside it.
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use groupme_sim::{Bot, Fault, Line, Sim, SimConfig, What};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use reqwest::StatusCode;
use serde_json::{Value, json};
use talkback::broker::Props;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::Instant;
use uuid::Uuid;
use xtask::children::Child;
use xtask::images::Container;
use xtask::pids::Ledger;

use super::emulator::{client, folder, program, start_with};
use super::works::{PATIENCE, SOURCE, Setup, bot, environment, eventually, group};
use crate::eyes::assert_metrics;
use crate::gallery::Gallery;
use crate::images::inside;
use crate::logs::assert_lines;
use crate::station::{KEY, MEMBER, TOKEN, connect, dressed, new_database, required, texts};
use crate::vhost::Vhost;

/// A host at work, with everything that it needs.
pub struct Host {
    pub(super) sim: Sim,
    vhost: Vhost,
    pub(super) database_url: String,
    pub(super) vars: BTreeMap<String, String>,
    folder: PathBuf,
    ledger: Arc<Ledger>,
    process: Child,
    pub(super) url: String,
    /// What its process runs in, if in anything; outlives it.
    container: Option<Container>,
}

impl Host {
    pub(super) async fn open(story: &'static str, pace: &'static str) -> Self {
        Self::of(story, pace, None).await
    }

    /// The same, from a container where one is given; its program is migrated with, too.
    pub async fn of(story: &'static str, pace: &'static str, container: Option<Container>) -> Self {
        talkback::tls::install_ring();
        let setup = Setup { story, rooms: 1, usual: true, pace, ..Setup::default() };
        let folder = folder(story);
        let ledger = Arc::new(Ledger::open(folder.join("pids")).unwrap());
        let bots = vec![Bot { bot_id: bot(0), group_id: group(0), name: "Talkback".into(), callback_url: None }];
        let sim = Sim::start(SimConfig { bots, access_token: Some(MEMBER.into()), port: 0 }).await.unwrap();
        let (database_url, vhost, gallery) = tokio::join!(new_database(), Vhost::new(), Gallery::open());
        let mut vars = environment(&setup, &gallery, &database_url, &vhost.url(), &sim);
        vars.insert("TALKBACK_LISTEN".to_owned(), "127.0.0.1:0".to_owned());
        let migrated = command(container.as_ref(), &vars, &["migrate"]).output().unwrap();
        assert!(migrated.status.success(), "{}", String::from_utf8_lossy(&migrated.stdout));
        let (process, url) = serve(container.as_ref(), &vars, &folder, &ledger, "host-1").await;
        sim.set_callback_url(&bot(0), format!("{url}/groupme/callback/{TOKEN}"));
        Self { sim, vhost, database_url, vars, folder, ledger, process, url, container }
    }

    async fn get(&self, path: &str) -> (StatusCode, String) {
        let answer = client().get(format!("{}{path}", self.url)).timeout(PATIENCE).send().await.unwrap();
        (answer.status(), answer.text().await.unwrap())
    }

    async fn send(&self, body: &str) -> String {
        let uid = Uuid::new_v4().to_string();
        self.send_to(&self.url, body, &uid).await;
        uid
    }

    async fn send_to(&self, url: &str, body: &str, uid: &str) {
        let request = client().post(format!("{url}/send")).bearer_auth(KEY).timeout(PATIENCE);
        let answer = request.json(&json!({ "body": body, "uid": uid })).send().await.unwrap();
        assert_eq!(answer.status(), 202);
    }

    async fn publish(&self, body: &str, uid: &str) {
        let text = json!({ "body": body, "uid": uid, "source": "source.test" }).to_string();
        self.vhost.broker.publish(SOURCE, "source.test", text.as_bytes(), &Props::default(), true).await.unwrap();
    }

    async fn one(&self, query: &str) -> String {
        connect(&self.database_url).await.query_one(query, &[]).await.unwrap().get(0)
    }

    fn lines(&self) -> Vec<Line> {
        self.sim.lines(&group(0))
    }

    /// Stops it, and everything else.
    pub(super) async fn end(mut self) {
        self.stop().await;
        self.vhost.gone().await;
        self.sim.stop().await;
    }

    /// Tells it to stop, and says how long that took.
    async fn stop(&mut self) -> Duration {
        let begun = Instant::now();
        kill(Pid::from_raw(inside(&self.process)), Signal::SIGTERM).unwrap();
        let status = eventually("the end of the host", async || self.process.ended()).await;
        assert!(status.success(), "{status}");
        begun.elapsed()
    }
}

fn bin() -> PathBuf {
    PathBuf::from(required("TALKBACK_TEST_BIN")).join("talkback-host")
}

/// The program with these arguments: as it was built, or from its image.
fn command(container: Option<&Container>, vars: &BTreeMap<String, String>, arguments: &[&str]) -> Command {
    if let Some(container) = container {
        return container.command(vars, arguments).unwrap();
    }
    let mut command = program(&bin());
    command.args(arguments).envs(vars);
    command
}

/// Starts it, and waits until it says where it listens.
async fn serve(
    container: Option<&Container>,
    vars: &BTreeMap<String, String>,
    folder: &Path,
    ledger: &Arc<Ledger>,
    name: &str,
) -> (Child, String) {
    let end = if container.is_some() { Signal::SIGTERM } else { Signal::SIGKILL };
    let process = start_with(end, name, command(container, vars, &[]), folder, ledger);
    let log = folder.join(format!("{name}.log"));
    let address = async || {
        let text = std::fs::read_to_string(&log).ok()?;
        let mut lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        lines.find_map(|line| line["address"].as_str().map(str::to_owned))
    };
    let address = eventually("the host's address", address).await;
    (process, format!("http://{address}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_process_does_what_all_functions_do_without_anything_else() {
    does_what_all_functions_do(Host::open("host", "5ms").await).await;
}

/// Messages by both doors, a command, confirmations, and an end in order.
pub async fn does_what_all_functions_do(mut host: Host) {
    assert_eq!(host.get("/livez").await, (StatusCode::OK, "alive\n".to_owned()));
    assert_eq!(host.get("/readyz").await, (StatusCode::OK, "ready\n".to_owned()));

    let sent = host.send("By HTTP").await;
    let queued = Uuid::new_v4().to_string();
    host.publish("By the queue", &queued).await;
    host.sim.wait_for(|lines| lines.len() == 2, PATIENCE).await.unwrap();
    let shown = texts(&host.lines());
    assert!(
        shown.contains(&dressed("By HTTP", &sent)) && shown.contains(&dressed("By the queue", &queued)),
        "{shown:?}"
    );

    host.sim.say(&group(0), "4711", "Grace", "!ping").await;
    let lines = host.sim.wait_for(|lines| lines.len() == 4, PATIENCE).await.unwrap();
    assert_eq!(lines[3].bot_id.as_deref(), Some(bot(0).as_str()));
    let confirmed = async || {
        let all = host.one("select count(*)::text from deliveries where state = 'confirmed'").await;
        (all == "3").then_some(())
    };
    eventually("the confirmations", confirmed).await;
    assert_eq!(host.sim.complaints(), Vec::<String>::new());

    let (status, text) = host.get("/metrics").await;
    assert_eq!(status, StatusCode::OK);
    assert_metrics(&text);
    for line in [
        "talkback_messages_total{source=\"source.#\",verdict=\"accepted\"} 2",
        "talkback_posts_total{room=\"room0\",outcome=\"posted\"} 3",
        "talkback_queue_depth{room=\"room0\"} 0",
        "talkback_room_suspended{room=\"room0\"} 0",
        "talkback_wait_seconds_count{room=\"room0\"} 3",
        "talkback_post_duration_seconds_count{room=\"room0\"} 3",
        "talkback_broker_queue_messages{queue=\"talkback\"} 0",
        "talkback_dependency_up{dependency=\"postgres\"} 1",
        "talkback_dependency_up{dependency=\"rabbitmq\"} 1",
    ] {
        assert!(text.lines().any(|told| told == line), "{line} is not in\n{text}");
    }
    for name in [
        "callback_age_seconds{room=\"room0\"}",
        "function_age_seconds{function=\"dispatcher\"}",
        "database_size_bytes ",
    ] {
        assert!(text.contains(&format!("\ntalkback_{name}")), "{name} is not in\n{text}");
    }

    host.stop().await;
    let log = std::fs::read_to_string(host.folder.join("host-1.log")).unwrap();
    assert_lines(&log);
    for secret in [KEY, TOKEN, MEMBER, &bot(0), "By HTTP", "By the queue", "Grace"] {
        assert!(!log.contains(secret), "{secret} is in the log");
    }
    for function in ["send", "groupme-callback", "rabbitmq-consumer", "dispatcher", "talkback-host"] {
        assert!(log.contains(&format!("\"function\":\"{function}\"")), "no line of {function}");
    }
    host.vhost.gone().await;
    host.sim.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn told_to_stop_it_finishes_the_current_part_and_gives_its_lease_back() {
    let mut host = Host::open("host-stop", "300ms").await;
    host.sim.fault(Fault::always(What::Slow(Duration::from_millis(700))));
    let mut uids = Vec::new();
    for number in 0..8 {
        let uid = Uuid::new_v4().to_string();
        host.publish(&format!("Line {number}"), &uid).await;
        uids.push(uid);
    }
    host.sim.wait_for(|lines| lines.len() >= 3, PATIENCE).await.unwrap();
    let took = host.stop().await;
    assert!(took < Duration::from_secs(10), "{took:?}");
    assert_eq!(host.one("select count(*)::text from lanes where token is not null").await, "0");
    assert_eq!(host.one("select count(*)::text from parts where state = 'posting'").await, "0");
    let shown = host.lines().len();
    assert!(shown < 8, "nothing was left to stop in");

    // The next one goes on, in order.
    let (process, url) = serve(host.container.as_ref(), &host.vars, &host.folder, &host.ledger, "host-2").await;
    (host.process, host.url) = (process, url);
    host.sim.set_callback_url(&bot(0), format!("{}/groupme/callback/{TOKEN}", host.url));
    host.sim.wait_for(|lines| lines.len() == 8, PATIENCE).await.unwrap();
    let wanted: Vec<String> =
        uids.iter().zip(0..).map(|(uid, number)| dressed(&format!("Line {number}"), uid)).collect();
    assert_eq!(texts(&host.lines()), wanted);
    host.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hosts_beside_each_other_share_the_work() {
    let host = Host::open("host-two", "5ms").await;
    let (mut other, url) = serve(None, &host.vars, &host.folder, &host.ledger, "host-2").await;
    let mut wanted = Vec::new();
    for number in 0..24 {
        let uid = Uuid::new_v4().to_string();
        let body = format!("Line {number}");
        match number % 3 {
            0 => host.publish(&body, &uid).await,
            1 => host.send_to(&host.url, &body, &uid).await,
            _ => host.send_to(&url, &body, &uid).await,
        }
        wanted.push(dressed(&body, &uid));
    }
    host.sim.wait_for(|lines| lines.len() >= 24, PATIENCE).await.unwrap();
    other.signal(Signal::SIGTERM);
    eventually("the end of the other", async || other.ended()).await;
    let mut shown = texts(&host.lines());
    shown.sort();
    wanted.sort();
    assert_eq!(shown, wanted);
    host.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_starts_while_everything_is_away_and_posts_an_alarm_all_the_same() {
    let mut host = Host::open("host-away", "5ms").await;
    host.stop().await;
    let mut vars = host.vars.clone();
    vars.insert("DATABASE_URL".to_owned(), "postgres://x:x@127.0.0.1:1/x".to_owned());
    vars.insert("AMQP_URL".to_owned(), "amqp://x:x@127.0.0.1:1/%2f".to_owned());
    (host.process, host.url) = serve(None, &vars, &host.folder, &host.ledger, "host-2").await;
    assert_eq!(host.get("/livez").await.0, StatusCode::OK);
    assert_eq!(host.get("/readyz").await.0, StatusCode::SERVICE_UNAVAILABLE);
    let request = client().post(format!("{}/send", host.url)).bearer_auth(KEY).timeout(PATIENCE);
    let alarm = json!({ "body": "The mast is on fire", "priority": "urgent" });
    let answer = request.json(&alarm).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    let answer: Value = answer.json().await.unwrap();
    assert_eq!(answer["recorded"], false);
    assert_eq!(host.lines().len(), 1);
    let (_, text) = host.get("/metrics").await;
    assert_metrics(&text);
    for dependency in ["postgres", "rabbitmq"] {
        let line = format!("talkback_dependency_up{{dependency=\"{dependency}\"}} 0");
        assert!(text.lines().any(|told| told == line), "{line} is not in\n{text}");
    }
    let took = host.stop().await;
    assert!(took < Duration::from_secs(10), "{took:?}");
    host.vhost.gone().await;
    host.sim.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_large_slow_or_speaks_no_http_harms_only_himself() {
    let host = Host::open("host-limits", "5ms").await;
    let address = host.url.trim_start_matches("http://").to_owned();
    let ask = async |bytes: Vec<u8>| {
        let mut stream = TcpStream::connect(&address).await.unwrap();
        // It may have answered and closed before it was given everything.
        let _ = stream.write_all(&bytes).await;
        let mut answer = Vec::new();
        let _ = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer)).await.expect("it never closes");
        String::from_utf8_lossy(&answer).lines().next().unwrap_or_default().to_owned()
    };
    let with_body = |size: usize| {
        let head = format!("POST /send HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {size}\r\n\r\n");
        [head.into_bytes(), vec![b'x'; size]].concat()
    };
    assert_eq!(ask(with_body(100_000)).await, "HTTP/1.1 413 Payload Too Large");
    assert_eq!(ask(with_body(2_000_000)).await, "HTTP/1.1 413 Payload Too Large");
    assert_eq!(ask(b"\x16\x03\x01 this is no HTTP\r\n\r\n".to_vec()).await, "HTTP/1.1 400 Bad Request");
    let headers: String = (0..100).map(|n| format!("x-{n}: y\r\n")).collect();
    let many = format!("GET /livez HTTP/1.1\r\nhost: x\r\n{headers}\r\n");
    assert_eq!(ask(many.into_bytes()).await, "HTTP/1.1 431 Request Header Fields Too Large");
    // Headers and a body that never end.
    assert_eq!(ask(b"GET /livez HTTP/1.1\r\nhost:".to_vec()).await, "");
    let half = b"POST /send HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 9\r\n\r\nx".to_vec();
    assert_eq!(ask(half).await, "HTTP/1.1 408 Request Timeout");
    let post = client().post(format!("{}/readyz", host.url)).send().await.unwrap();
    assert_eq!((post.status().as_u16(), post.headers()["allow"].to_str().unwrap()), (405, "GET, HEAD"));
    assert_eq!(host.get("/nothing").await.0, StatusCode::NOT_FOUND);
    let uid = host.send("Still here").await;
    host.sim.wait_for(|lines| lines.len() == 1, PATIENCE).await.unwrap();
    assert_eq!(texts(&host.lines()), [dressed("Still here", &uid)]);
    host.end().await;
}
