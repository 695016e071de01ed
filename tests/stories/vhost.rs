//! A virtual host of RabbitMQ for one story, made by the management API.
use std::time::Duration;

use secrecy::SecretString;
use serde_json::{Value, json};
use talkback::amqp_event::{Delivery, Record};
use talkback::broker::Broker;
use tokio::time::{Instant, interval};
use uuid::Uuid;

use crate::station::{PATIENCE, required};

pub struct Vhost {
    name: String,
    api: String,
    url: String,
    client: reqwest::Client,
    /// Looks into queues for the story.
    pub broker: Broker,
}

impl Vhost {
    pub async fn new() -> Self {
        Self::at(&required("TALKBACK_TEST_AMQP_URL"), &required("TALKBACK_TEST_RABBIT_API")).await
    }

    /// The same on another broker, by its URL and its management API.
    pub async fn at(base: &str, api: &str) -> Self {
        talkback::tls::install_ring();
        let api = api.to_owned();
        let name = format!("story-{}", Uuid::new_v4());
        let (server, _) = base.rsplit_once('/').unwrap();
        let url = format!("{server}/{name}");
        let user = base.split("://").nth(1).unwrap().split(':').next().unwrap().to_owned();
        let tls = talkback::tls::web_client();
        let client = reqwest::Client::builder().tls_backend_preconfigured(tls).no_proxy().build().unwrap();
        let broker = Broker::new(SecretString::from(url.clone()), "story").unwrap();
        let vhost = Self { name, api, url, client, broker };
        vhost.put(&format!("/vhosts/{}", vhost.name), "{}").await;
        let all = r#"{"configure":".*","write":".*","read":".*"}"#;
        vhost.put(&format!("/permissions/{}/{user}", vhost.name), all).await;
        vhost
    }

    /// The value for `AMQP_URL`.
    pub fn url(&self) -> String {
        self.url.clone()
    }

    /// The same by another port of this machine.
    pub fn url_by(&self, port: u16) -> String {
        let (user, rest) = self.url.rsplit_once('@').unwrap();
        let (_, vhost) = rest.split_once('/').unwrap();
        format!("{user}@127.0.0.1:{port}/{vhost}")
    }

    /// The connections to the virtual host that the broker's management knows of; it learns of them with a delay.
    pub async fn connections(&self) -> Vec<String> {
        let asked = self.client.get(format!("{}/vhosts/{}/connections", self.api, self.name)).send().await;
        let Ok(answer) = asked else { return Vec::new() };
        let all: Vec<Value> = answer.json().await.unwrap_or_default();
        all.iter().filter_map(|connection| connection["name"].as_str()).map(str::to_owned).collect()
    }

    /// Closes connections from the broker's side; how many were there.
    pub async fn close(&self, names: &[String]) -> usize {
        let mut closed = 0;
        for name in names {
            let mut url = reqwest::Url::parse(&format!("{}/connections", self.api)).unwrap();
            url.path_segments_mut().unwrap().push(name);
            let gone = self.client.delete(url).header("x-reason", "the story wants it").send().await;
            closed += usize::from(gone.is_ok_and(|answer| answer.status().is_success()));
        }
        closed
    }

    async fn put(&self, path: &str, body: &'static str) {
        let request = self.client.put(format!("{}{path}", self.api)).header("content-type", "application/json");
        let answer = request.body(body).send().await.unwrap();
        assert!(answer.status().is_success(), "{path}: {}", answer.status());
    }

    pub async fn queue(&self, name: &str) {
        self.put(&format!("/queues/{}/{name}", self.name), r#"{"durable":true}"#).await;
    }

    /// A queue that holds one message, and refuses what else is published to it.
    pub async fn full_queue(&self, name: &str) {
        let body = r#"{"durable":true,"arguments":{"x-max-length":1,"x-overflow":"reject-publish"}}"#;
        self.put(&format!("/queues/{}/{name}", self.name), body).await;
        self.broker.publish("", name, b"the one", &talkback::broker::Props::default(), true).await.unwrap();
    }

    /// Takes a queue away, with its bindings.
    pub async fn no_queue(&self, name: &str) {
        let answer = self.client.delete(format!("{}/queues/{}/{name}", self.api, self.name)).send().await.unwrap();
        assert!(answer.status().is_success(), "{name}: {}", answer.status());
    }

    /// An exchange that somebody else declared.
    pub async fn exchange(&self, name: &str) {
        self.put(&format!("/exchanges/{}/{name}", self.name), r#"{"type":"topic","durable":true}"#).await;
    }

    /// A queue that gets everything that is published to an exchange.
    pub async fn queue_of(&self, exchange: &str, name: &str) {
        self.queue(name).await;
        self.bind(exchange, name, "#").await;
    }

    /// Lets a queue have what is published to an exchange with such keys.
    pub async fn bind(&self, exchange: &str, name: &str, pattern: &str) {
        let path = format!("{}/bindings/{}/e/{exchange}/q/{name}", self.api, self.name);
        let request = self.client.post(path).header("content-type", "application/json");
        let answer = request.body(json!({ "routing_key": pattern }).to_string()).send().await.unwrap();
        assert!(answer.status().is_success(), "{}", answer.status());
    }

    /// How the broker sees a queue.
    pub async fn queue_facts(&self, name: &str) -> Value {
        let answer = self.client.get(format!("{}/queues/{}/{name}", self.api, self.name)).send().await.unwrap();
        answer.json().await.unwrap()
    }

    /// What there is of a kind, by the management API: `queues`, `exchanges` or `bindings`.
    pub async fn listed(&self, kind: &str) -> Vec<Value> {
        self.client.get(format!("{}/{kind}/{}", self.api, self.name)).send().await.unwrap().json().await.unwrap()
    }

    /// The next message of a queue, taken out of it. What could not be published is tried again after 5, 10, 20 seconds.
    pub async fn next(&self, queue: &str) -> Delivery {
        let end = Instant::now() + PATIENCE * 3;
        let mut tick = interval(Duration::from_millis(25));
        loop {
            tick.tick().await;
            if let Some(taken) = self.broker.get(queue).await.unwrap() {
                let Record::Delivery(delivery) = taken.record.clone() else { panic!("an odd record") };
                taken.ack().await.unwrap();
                return *delivery;
            }
            assert!(Instant::now() < end, "nothing came to {queue}");
        }
    }

    /// The next answer in a queue, which is as infra/asyncapi.yaml says, with its correlation id.
    pub async fn answer(&self, queue: &str) -> (Value, Option<String>) {
        let delivery = self.next(queue).await;
        let answer = serde_json::from_slice(&delivery.body).unwrap();
        crate::asyncapi::assert_reply(&answer);
        (answer, delivery.correlation_id)
    }

    /// Takes the virtual host away, with all that is in it.
    pub async fn gone(self) {
        let answer = self.client.delete(format!("{}/vhosts/{}", self.api, self.name)).send().await.unwrap();
        assert!(answer.status().is_success(), "{}", answer.status());
    }
}
