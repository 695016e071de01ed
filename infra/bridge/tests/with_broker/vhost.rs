//! A virtual host for one test, made by the management API.
use std::time::{Duration, Instant};

use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::{BasicProperties, Connection};
use secrecy::SecretString;
use talkback::broker::{Broker, Exchange, ExchangeKind, connect};
use uuid::Uuid;

/// How long a test waits for what must come.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// The topic exchange of the station's programs.
pub(crate) const SOURCE: &str = "source_exchange";

fn setting(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: run cargo xtask test"))
}

pub(crate) struct Vhost {
    name: String,
    api: String,
    base: String,
    client: reqwest::Client,
}

impl Vhost {
    pub(crate) async fn new() -> Self {
        let base = setting("TALKBACK_TEST_AMQP_URL");
        let api = setting("TALKBACK_TEST_RABBIT_API");
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured(talkback::tls::web_client())
            .no_proxy()
            .build()
            .unwrap();
        let vhost = Self { name: format!("test-{}", Uuid::new_v4()), api, base, client };
        let user = vhost.base.split("://").nth(1).unwrap().split(':').next().unwrap().to_owned();
        vhost.put(&format!("/vhosts/{}", vhost.name), "{}").await;
        let all = r#"{"configure":".*","write":".*","read":".*"}"#;
        vhost.put(&format!("/permissions/{}/{user}", vhost.name), all).await;
        vhost
    }

    async fn put(&self, path: &str, body: &'static str) {
        let request = self.client.put(format!("{}{path}", self.api)).header("content-type", "application/json");
        let answer = request.body(body).send().await.unwrap();
        assert!(answer.status().is_success(), "{path}: {}", answer.status());
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn url(&self) -> SecretString {
        self.url_at(None)
    }

    /// The URL by another port, behind which a proxy stands.
    pub(crate) fn url_at(&self, port: Option<u16>) -> SecretString {
        let (server, _) = self.base.rsplit_once('/').unwrap();
        let (host, own) = server.rsplit_once(':').unwrap();
        let port = port.map_or_else(|| own.to_owned(), |port| port.to_string());
        SecretString::from(format!("{host}:{port}/{}", self.name))
    }

    /// The broker's port.
    pub(crate) fn port(&self) -> u16 {
        let (server, _) = self.base.rsplit_once('/').unwrap();
        server.rsplit_once(':').unwrap().1.parse().unwrap()
    }

    pub(crate) fn broker(&self) -> Broker {
        Broker::new(self.url(), "test").unwrap()
    }

    /// A broker with the whole topology declared, and the station's exchange.
    pub(crate) async fn declared(&self) -> Broker {
        let broker = self.broker();
        broker.declare(&[source_exchange()], Duration::from_millis(100)).await.unwrap();
        broker
    }

    /// A plain client, as a producer would have.
    pub(crate) async fn client(&self) -> Connection {
        connect(&self.url(), None, "test client", PATIENCE).await.unwrap()
    }

    /// Publishes as the simplest producers do: no property at all.
    pub(crate) async fn publish_bare(&self, exchange: &str, messages: &[(&str, Vec<u8>)]) {
        let connection = self.client().await;
        let channel = connection.create_channel().await.unwrap();
        channel.confirm_select(ConfirmSelectOptions::default()).await.unwrap();
        let mut confirms = Vec::new();
        for (key, body) in messages {
            let (options, none) = (BasicPublishOptions::default(), BasicProperties::default());
            confirms.push(channel.basic_publish(exchange.into(), (*key).into(), options, body, none).await.unwrap());
        }
        for confirm in confirms {
            assert!(confirm.await.unwrap().is_ack());
        }
        connection.close(200, "bye".into()).await.unwrap();
    }

    /// Takes the virtual host away, with all that is in it.
    pub(crate) async fn gone(self) {
        let answer = self.client.delete(format!("{}/vhosts/{}", self.api, self.name)).send().await.unwrap();
        assert!(answer.status().is_success(), "{}", answer.status());
    }
}

pub(crate) fn source_exchange() -> Exchange {
    let patterns = vec!["source.#".to_owned(), "notification.#".to_owned()];
    Exchange { name: SOURCE.to_owned(), kind: ExchangeKind::Topic, patterns, declare: true }
}

/// Asks again and again until the answer is there; fails loudly after a while.
pub(crate) async fn eventually<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(start.elapsed() < PATIENCE, "waited in vain: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
