//! Pictures from the web. Their addresses come from anybody who can send a text, so what may be asked is decided here:
//! https at port 443, at a public address, unless `[media] allow` opens the host; each redirect is judged anew, and a
//! connection is made only to an address that was judged. No error and no result quotes the URL: it may be a secret.
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::{Client, Response, StatusCode, Url, header};
use secrecy::ExposeSecret;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, sleep, timeout_at};

use crate::config::Settings;
use crate::picture::{Kind, Missing, Picture};

mod address;
mod names;
mod site;
mod target;
mod twilio;

pub use names::Names;
pub use site::Site;

use target::Target;
use twilio::Account;

/// Redirects that are followed at most.
const MAX_REDIRECTS: usize = 3;

/// A picture of more bytes than this is large.
const LARGE: usize = 128 * 1024;

/// Large pictures in the memory of this process at once, being fetched or uploaded: many servers may be asked at a time,
/// and all of them may send as much as they can.
static ROOM_FOR_LARGE: Semaphore = Semaphore::const_new(4);

/// Between a try that may have met a moment's trouble and the second.
const SECOND_TRY_AFTER: Duration = Duration::from_millis(200);

/// Why nothing can be fetched at all.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The HTTP client could not be built.
    #[error("the HTTP client cannot be built")]
    Client,
}

/// Fetches pictures. A clone does the same.
#[derive(Clone)]
pub struct Fetcher {
    opened: Vec<Site>,
    max_bytes: u64,
    timeout: Duration,
    account: Option<Account>,
    names: Names,
    tls: rustls::ClientConfig,
}

/// What became of one fetch, ready to be recorded: neither path nor query is in it.
#[derive(Debug)]
pub struct Fetched {
    /// The picture, or why it is not there.
    pub result: Result<Picture, Missing>,
    /// The last host that was to be asked, without its port; `None` where the address names none.
    pub host: Option<String>,
    /// The last HTTP status, if there was an answer.
    pub status: Option<u16>,
    /// To be kept as long as a large picture is in memory.
    pub held: Option<SemaphorePermit<'static>>,
}

/// What is known of a fetch while it goes on.
#[derive(Default)]
struct Seen {
    host: Option<String>,
    status: Option<u16>,
    /// How the first try ended, while there is a second.
    first: Option<Missing>,
}

/// What a server has sent.
enum Got {
    /// All of it.
    Whole(Picture),
    /// The beginning of a large picture.
    Large(Box<Part>),
}

/// A body of which some was read.
struct Part {
    response: Response,
    bytes: Vec<u8>,
}

impl Fetcher {
    /// A fetcher with the limits, opened hosts and Twilio account of the settings.
    ///
    /// # Errors
    /// The HTTP client cannot be built.
    pub fn new(settings: &Settings, names: Names) -> Result<Self, FetchError> {
        let account = settings.twilio_account_sid.clone().zip(settings.twilio_auth_token.clone());
        let fetcher = Self {
            opened: settings.media.allow.clone(),
            max_bytes: settings.media.max_bytes,
            timeout: settings.media.timeout,
            account: account.map(|(sid, token)| Account { sid, token }),
            names,
            tls: crate::tls::web_client(),
        };
        // Each request has a client of its own; that one can be built is known from here on.
        fetcher.client(Vec::new()).map_err(|_| FetchError::Client)?;
        Ok(fetcher)
    }

    /// Fetches one picture, within `[media] timeout` and not beyond `until`. After a failed connection, or a status
    /// that may be another in a moment (429, 5xx), it is tried once more within the same time.
    pub async fn picture(&self, url: &str, until: Instant) -> Fetched {
        let limit = until.min(Instant::now() + self.timeout);
        let mut seen = Seen::default();
        let got = match timeout_at(limit, self.twice(url, &mut seen)).await {
            Ok(got) => got,
            // The second try was cut off: what ended the first says more.
            Err(_) => Err(seen.first.unwrap_or(Missing::Silent)),
        };
        let (result, held) = match got {
            Ok(Got::Whole(picture)) => (Ok(picture), None),
            Ok(Got::Large(part)) => self.rest(part, limit, until).await,
            Err(missing) => (Err(missing), None),
        };
        Fetched { result, host: seen.host, status: seen.status, held }
    }

    /// The rest of a large picture, as soon as there is room for it: that time is not its server's.
    async fn rest(
        &self,
        part: Box<Part>,
        limit: Instant,
        until: Instant,
    ) -> (Result<Picture, Missing>, Option<SemaphorePermit<'static>>) {
        let left = limit.saturating_duration_since(Instant::now());
        let Ok(Ok(held)) = timeout_at(until, ROOM_FOR_LARGE.acquire()).await else {
            return (Err(Missing::Silent), None);
        };
        let limit = until.min(Instant::now() + left);
        match timeout_at(limit, self.read(*part, usize::MAX)).await {
            Ok(Ok(Got::Whole(picture))) => (Ok(picture), Some(held)),
            Ok(Ok(Got::Large(_))) => (Err(Missing::TooLarge), None),
            Ok(Err(missing)) => (Err(missing), None),
            Err(_) => (Err(Missing::Silent), None),
        }
    }

    async fn twice(&self, url: &str, seen: &mut Seen) -> Result<Got, Missing> {
        let first = self.once(url, seen).await;
        let Err(missing) = first else { return first };
        if !passes(missing, seen.status) {
            return first;
        }
        seen.first = Some(missing);
        sleep(SECOND_TRY_AFTER).await;
        self.once(url, seen).await
    }

    async fn once(&self, url: &str, seen: &mut Seen) -> Result<Got, Missing> {
        let mut target = Target::first(Url::parse(url).map_err(|_| Missing::Address)?, &self.opened, &mut seen.host)?;
        for hop in 0..=MAX_REDIRECTS {
            let response = self.ask(&target, hop).await?;
            seen.status = Some(response.status().as_u16());
            match response.status() {
                StatusCode::OK => return self.read(Part { response, bytes: Vec::new() }, LARGE).await,
                StatusCode::MOVED_PERMANENTLY
                | StatusCode::FOUND
                | StatusCode::SEE_OTHER
                | StatusCode::TEMPORARY_REDIRECT
                | StatusCode::PERMANENT_REDIRECT => {
                    let location = response.headers().get(header::LOCATION).and_then(|value| value.to_str().ok());
                    target = target.next(location, &self.opened, &mut seen.host)?;
                }
                _ => return Err(Missing::Status),
            }
        }
        Err(Missing::Address)
    }

    async fn ask(&self, target: &Target, hop: usize) -> Result<Response, Missing> {
        let addresses = target.addresses(&self.names).await?;
        let client = self.client(addresses).map_err(|_| Missing::Unreachable)?;
        let mut request = client
            .get(target.url.clone())
            .header(header::ACCEPT, "image/gif, image/jpeg, image/png")
            .header(header::ACCEPT_ENCODING, "identity");
        if let Some(account) = twilio::account_for(self.account.as_ref(), &target.url, hop) {
            request = request.basic_auth(&account.sid, Some(account.token.expose_secret()));
        }
        request.send().await.map_err(|error| missing(&error))
    }

    /// Reads a body up to the cap, no further than it takes to see that it is no picture, and no further than `enough`.
    async fn read(&self, part: Part, enough: usize) -> Result<Got, Missing> {
        let Part { mut response, mut bytes } = part;
        if response.content_length().is_some_and(|length| length > self.max_bytes) {
            return Err(Missing::TooLarge);
        }
        // Room is made for what came, not for what was announced.
        while let Some(chunk) = response.chunk().await.map_err(|error| missing(&error))? {
            bytes.extend_from_slice(&chunk);
            if bytes.len() as u64 > self.max_bytes {
                return Err(Missing::TooLarge);
            }
            if bytes.len() >= Kind::TOLD_BY && Kind::of(&bytes).is_none() {
                return Err(Missing::NoPicture);
            }
            if bytes.len() > enough {
                return Ok(Got::Large(Box::new(Part { response, bytes })));
            }
        }
        bytes.shrink_to_fit();
        Picture::of(Bytes::from(bytes)).map(Got::Whole).ok_or(Missing::NoPicture)
    }

    /// A client for one request, which connects to these addresses whatever the name.
    fn client(&self, addresses: Vec<SocketAddr>) -> Result<Client, reqwest::Error> {
        Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .referer(false)
            // Nothing is unpacked, whatever features another program switches on in reqwest.
            .no_gzip()
            .no_brotli()
            .no_deflate()
            .no_zstd()
            .http1_only()
            .pool_max_idle_per_host(0)
            // Shared among the addresses, so that one that does not answer leaves time for the others.
            .connect_timeout(self.timeout / 2)
            .user_agent(concat!("talkback/", env!("CARGO_PKG_VERSION")))
            .dns_resolver(Arc::new(Judged(addresses)))
            .tls_backend_preconfigured(self.tls.clone())
            .build()
    }
}

/// The addresses that were judged, as the only answer to any name.
struct Judged(Vec<SocketAddr>);

impl Resolve for Judged {
    fn resolve(&self, _name: Name) -> Resolving {
        let addresses: Addrs = Box::new(self.0.clone().into_iter());
        Box::pin(std::future::ready(Ok(addresses)))
    }
}

/// Whether a failure may be gone in a moment.
fn passes(missing: Missing, status: Option<u16>) -> bool {
    match missing {
        Missing::Unreachable => true,
        Missing::Status => matches!(status, Some(429 | 500..=599)),
        _ => false,
    }
}

/// What a failed call means; reqwest's own text quotes the URL.
fn missing(error: &reqwest::Error) -> Missing {
    if error.is_builder() {
        Missing::Address
    } else if error.is_timeout() && !error.is_connect() {
        Missing::Silent
    } else {
        Missing::Unreachable
    }
}

#[cfg(test)]
mod tests;
