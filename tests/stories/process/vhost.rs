//! A virtual host for one story, made and taken away by the management API.
use secrecy::SecretString;
use talkback::broker::Broker;

use crate::station::required;

pub struct Vhost {
    name: String,
    api: String,
    pub url: String,
    client: reqwest::Client,
}

/// A client for our own servers.
pub fn client() -> reqwest::Client {
    talkback::tls::install_ring();
    reqwest::Client::builder().tls_backend_preconfigured(talkback::tls::web_client()).no_proxy().build().unwrap()
}

impl Vhost {
    pub async fn new() -> Self {
        let base = required("TALKBACK_TEST_AMQP_URL");
        let api = required("TALKBACK_TEST_RABBIT_API");
        let name = format!("story-{}", uuid::Uuid::new_v4());
        let (server, _) = base.rsplit_once('/').unwrap();
        let user = server.split("://").nth(1).unwrap().split(':').next().unwrap();
        let vhost = Self { url: format!("{server}/{name}"), name, api, client: client() };
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

    /// A queue of a producer that waits for replies.
    pub async fn queue(&self, name: &str) {
        self.put(&format!("/queues/{}/{name}", self.name), r#"{"durable":true}"#).await;
    }

    /// A producer's, or an onlooker's, way to it.
    pub fn broker(&self) -> Broker {
        Broker::new(SecretString::from(self.url.clone()), "story").unwrap()
    }

    /// Takes it away, with all that is in it.
    pub async fn gone(self) {
        let answer = self.client.delete(format!("{}/vhosts/{}", self.api, self.name)).send().await.unwrap();
        assert!(answer.status().is_success(), "{}", answer.status());
    }
}
