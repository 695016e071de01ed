//! Pictures on real sockets: what hostile servers, names and redirects do to a fetch, and what GroupMe's picture
//! service does to an upload. Each server speaks bytes, so that it can lie as no HTTP library would.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "the functions that tests share are tests, too")]
mod bodies;
mod hosts;
mod proxies;
mod redirects;
mod server;
mod tries;
mod upload;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use talkback::config::Settings;
use talkback::fetch::{Fetched, Fetcher, Names, Site};
use talkback::picture::Missing;
use tokio::time::Instant;

use server::Server;

/// A whole file, as far as its first bytes tell.
const GIF: &[u8] = b"GIF89a\x01\x00\x01\x00\x00\x00\x00;";

/// Longer than any story takes, so that a story that ends by it has failed.
const LONG: Duration = Duration::from_secs(30);

/// The cap of these stories.
const MAX_BYTES: u64 = 100_000;

/// Settings with these hosts open, and a Twilio account.
fn settings(open: &[&str]) -> Settings {
    let key = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    let toml = "[[rooms]]\nname = \"staff\"\nbot_id = \"b\"\ngroup = \"g\"";
    let vars = [
        ("DATABASE_URL", "postgres://u@h/d"),
        ("TALKBACK_CONFIG", toml),
        ("TALKBACK_DATA_KEYS", &format!("k1:{key}")),
        ("TALKBACK_LOOKUP_KEY", key),
        ("TWILIO_ACCOUNT_SID", SID),
        ("TWILIO_AUTH_TOKEN", "hunter2"),
        ("GROUPME_ACCESS_TOKEN", "hunter3"),
    ];
    let vars: HashMap<String, String> =
        vars.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    let mut settings = Settings::from_vars(&vars).unwrap();
    settings.media.max_bytes = MAX_BYTES;
    settings.media.timeout = LONG;
    settings.media.allow = open.iter().map(|site| Site::parse(site).unwrap()).collect();
    settings
}

const SID: &str = "AC00000000000000000000000000000001";

/// Fetches with these hosts open, and the names of this machine.
async fn fetch(open: &[&str], url: &str) -> Fetched {
    fetch_with(&settings(open), Names::system(), url).await
}

async fn fetch_with(settings: &Settings, names: Names, url: &str) -> Fetched {
    let fetcher = Fetcher::new(settings, names).unwrap();
    let fetched = tokio::time::timeout(LONG, fetcher.picture(url, Instant::now() + LONG)).await;
    fetched.expect("a story without a limit of its own ends well before the longest one")
}

/// Why a picture of an open server is not there.
async fn refused(server: &Server) -> Option<Missing> {
    fetch(&[&server.site()], &server.url("/a.gif")).await.result.err()
}

/// Names that resolve to these addresses, and how often they were asked.
fn names(answers: impl Fn(usize, &str) -> Vec<SocketAddr> + Send + Sync + 'static) -> (Names, Arc<AtomicUsize>) {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    let names = Names::new(move |host, _| {
        let answer = answers(count.fetch_add(1, Ordering::SeqCst), &host);
        async move { Ok(answer) }
    });
    (names, asked)
}
