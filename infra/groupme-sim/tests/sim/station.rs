//! What a test needs around a simulator: a started one, a client, and a callback URL with somebody behind it.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use axum::{Router, extract::State, http::HeaderMap, http::StatusCode, routing::post};
use groupme_sim::{Bot, Sim, SimConfig};
use serde_json::{Value, json};
use tokio::{net::TcpListener, sync::watch, task::JoinHandle, time::timeout};

pub(crate) const BOT: &str = "bot-one-secret";
pub(crate) const OTHER: &str = "bot-two-secret";
pub(crate) const GROUP: &str = "4711";
pub(crate) const TOKEN: &str = "member-token";
/// Longer than anything here takes.
pub(crate) const SOON: Duration = Duration::from_secs(10);

/// Two bots in one group, a third elsewhere, no callback URL yet.
pub(crate) async fn started() -> Sim {
    let bot = |bot_id: &str, group_id: &str, name: &str| Bot {
        bot_id: bot_id.into(),
        group_id: group_id.into(),
        name: name.into(),
        callback_url: None,
    };
    let bots = vec![bot(BOT, GROUP, "Studio"), bot(OTHER, GROUP, "Alarm"), bot("bot-far", "9", "Far")];
    Sim::start(SimConfig { bots, access_token: Some(TOKEN.into()), port: 0 }).await.unwrap()
}

/// A client that trusts no proxy and keeps connections open, as ours do.
pub(crate) fn client() -> reqwest::Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().no_proxy().tls_certs_only([]).build().unwrap()
}

/// Posts a body of JSON as it stands; the status.
pub(crate) async fn post_json(sim: &Sim, body: &Value) -> u16 {
    let url = format!("{}/bots/post", sim.api_url());
    client().post(url).json(body).send().await.unwrap().status().as_u16()
}

/// Posts a text by the first bot; the status.
pub(crate) async fn post_text(sim: &Sim, text: &str) -> u16 {
    post_json(sim, &json!({"bot_id": BOT, "text": text})).await
}

/// The lines' texts, in order.
pub(crate) fn texts(sim: &Sim) -> Vec<String> {
    sim.lines(GROUP).into_iter().map(|line| line.text.unwrap_or_default()).collect()
}

/// Somebody behind a callback URL.
pub(crate) struct Listener {
    pub(crate) url: String,
    heard: watch::Sender<Vec<Heard>>,
    task: JoinHandle<()>,
}

/// A callback that came in.
#[derive(Clone)]
pub(crate) struct Heard {
    pub(crate) at: Instant,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
}

impl Listener {
    /// Answers the first callbacks with these statuses (0: not at all), the others with 200.
    pub(crate) async fn answering(statuses: &[u16]) -> Self {
        let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/callback/token", tcp.local_addr().unwrap());
        let heard = watch::Sender::new(Vec::new());
        let script = Arc::new(Mutex::new(statuses.iter().rev().copied().collect::<Vec<_>>()));
        let app = Router::new().route("/callback/token", post(hear)).with_state((heard.clone(), script));
        let task = tokio::spawn(async move { axum::serve(tcp, app).await.unwrap() });
        Self { url, heard, task }
    }

    /// The first `count` callbacks.
    pub(crate) async fn hear(&self, count: usize) -> Vec<Heard> {
        let mut heard = self.heard.subscribe();
        let enough = heard.wait_for(|heard| heard.len() >= count);
        timeout(SOON, enough).await.expect("callbacks in time").unwrap().clone()
    }

    pub(crate) async fn hear_texts(&self, count: usize) -> Vec<String> {
        self.hear(count).await.iter().map(|heard| heard.body["text"].as_str().unwrap_or_default().to_owned()).collect()
    }

    /// How many came so far.
    pub(crate) fn count(&self) -> usize {
        self.heard.borrow().len()
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.task.abort();
    }
}

type Ear = (watch::Sender<Vec<Heard>>, Arc<Mutex<Vec<u16>>>);

async fn hear(State((heard, script)): State<Ear>, headers: HeaderMap, body: String) -> StatusCode {
    let body = serde_json::from_str(&body).unwrap();
    heard.send_modify(|all| all.push(Heard { at: Instant::now(), headers, body }));
    let status = script.lock().unwrap().pop().unwrap_or(200);
    if status == 0 {
        return std::future::pending().await;
    }
    StatusCode::from_u16(status).unwrap()
}
