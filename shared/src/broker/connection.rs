//! One connection per process, made when it is first needed and thrown away on any error. lapin's own recovery stays
//! off: it retries longer than an invocation lives.
use std::time::{Duration, Instant};

use jiff::Timestamp;
use lapin::options::ConfirmSelectOptions;
use lapin::uri::AMQPUri;
use lapin::{Channel, Connection, ConnectionProperties};
use secrecy::{ExposeSecret as _, SecretString};

use super::{Broker, BrokerError};
use crate::broker::error::Cause;
use crate::telemetry::metrics;

/// After so long without use a connection is tried before it is trusted: a thaw may have killed it silently.
const TRUSTED: Duration = Duration::from_secs(5);
/// A connection that takes longer for the first answer after such a pause is dead.
const WAKE_LIMIT: Duration = Duration::from_secs(1);
/// After a failed connection nobody tries another for so long: who waited for the same one gets the same answer.
const REFUSED: Duration = Duration::from_secs(1);
/// Channels kept for the next publish.
const KEPT: usize = 8;
/// Seconds without a sign of life after which either side gives the connection up, unless the URL says otherwise.
const HEARTBEAT_SECONDS: u16 = 20;

/// The connection, if there is one, and how the last try to make one failed.
#[derive(Default)]
pub(super) struct State {
    live: Option<Live>,
    refused: Option<(Used, BrokerError)>,
}

/// The connection, and channels in confirm mode that nobody uses.
struct Live {
    connection: Connection,
    idle: Vec<Channel>,
    number: u64,
    used: Used,
}

/// When it was last used, by both clocks: a freeze may stop either.
struct Used(Instant, Timestamp);

impl Used {
    fn now() -> Self {
        Self(Instant::now(), Timestamp::now())
    }

    fn longer_ago_than(&self, limit: Duration) -> bool {
        let by_wall = Timestamp::now().duration_since(self.1).unsigned_abs();
        self.0.elapsed().max(by_wall) > limit
    }
}

/// A channel in confirm mode, for one publish at a time: lapin gives a returned message to whichever confirm comes next.
pub(super) struct Leased {
    pub(super) channel: Channel,
    number: u64,
}

impl Broker {
    /// A channel of the living connection, or of a new one.
    pub(super) async fn lease(&self) -> Result<Leased, BrokerError> {
        let mut state = self.state.lock().await;
        if let Some(leased) = self.lease_from(state.live.as_mut()).await {
            return Ok(leased);
        }
        if let Some((_, error)) = state.refused.as_ref().filter(|(at, _)| !at.longer_ago_than(REFUSED)) {
            return Err(error.clone());
        }
        // Dropping the last one closes it in the background.
        *state = State::default();
        let connection = match connect(&self.url, None, &self.name, self.limits.connect).await {
            Ok(connection) => connection,
            Err(error) => {
                metrics::DEPENDENCY_ERRORS.increment(&["rabbitmq"]);
                state.refused = Some((Used::now(), error.clone()));
                return Err(error);
            }
        };
        let channel = open(&connection, self.limits.answer).await?;
        let number = self.connections.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        state.live = Some(Live { connection, idle: Vec::new(), number, used: Used::now() });
        Ok(Leased { channel, number })
    }

    async fn lease_from(&self, live: Option<&mut Live>) -> Option<Leased> {
        let live = live.filter(|live| live.connection.status().connected())?;
        let limit = if live.used.longer_ago_than(TRUSTED) {
            live.idle.clear();
            WAKE_LIMIT
        } else {
            self.limits.answer
        };
        live.idle.retain(|channel| channel.status().connected());
        let channel = match live.idle.pop() {
            Some(channel) => channel,
            None => open(&live.connection, limit).await.ok()?,
        };
        live.used = Used::now();
        Some(Leased { channel, number: live.number })
    }

    /// Puts the channel back for the next, or throws the connection away if it was lost. A channel that the broker
    /// closed is just dropped.
    pub(super) async fn settle<T>(&self, leased: Leased, outcome: Result<T, BrokerError>) -> Result<T, BrokerError> {
        let mut state = self.state.lock().await;
        if outcome.as_ref().is_err_and(BrokerError::is_connection) {
            metrics::DEPENDENCY_ERRORS.increment(&["rabbitmq"]);
        }
        let same = state.live.as_mut().filter(|live| live.number == leased.number);
        match (&outcome, same) {
            (Err(error), Some(_)) if error.is_connection() => state.live = None,
            (_, Some(same)) if leased.channel.status().connected() && same.idle.len() < KEPT => {
                same.used = Used::now();
                same.idle.push(leased.channel);
            }
            _ => {}
        }
        outcome
    }

    /// Closes the connection, if there is one.
    pub async fn close(&self) {
        let live = self.state.lock().await.live.take();
        if let Some(live) = live {
            let closing = live.connection.close(200, "bye".into());
            // It is gone either way.
            let _ = tokio::time::timeout(self.limits.answer, closing).await;
        }
    }
}

/// A connection outside of any [`Broker`], for who consumes; to another virtual host than the URL's, if one is given.
pub async fn connect(
    url: &SecretString,
    vhost: Option<&str>,
    name: &str,
    limit: Duration,
) -> Result<Connection, BrokerError> {
    crate::tls::install_ring();
    let mut uri = read_url(url)?;
    if let Some(vhost) = vhost {
        vhost.clone_into(&mut uri.vhost);
    }
    uri.query.heartbeat.get_or_insert(HEARTBEAT_SECONDS);
    let properties = ConnectionProperties::default().with_connection_name(name.into());
    match tokio::time::timeout(limit, Connection::connect_uri(uri, properties)).await {
        Ok(Ok(connection)) => Ok(connection),
        Ok(Err(error)) => Err(BrokerError::connecting(&error)),
        Err(_) => Err(BrokerError::Connect(Cause::TimedOut)),
    }
}

/// The virtual host that an AMQP URL names.
pub fn vhost_of(url: &SecretString) -> Result<String, BrokerError> {
    Ok(read_url(url)?.vhost)
}

/// Reads an AMQP URL. `amqp://host/` means the virtual host `/` here, as to most clients: lapin takes it for one
/// without a name, which nobody has.
fn read_url(url: &SecretString) -> Result<AMQPUri, BrokerError> {
    let mut uri: AMQPUri = url.expose_secret().parse().map_err(|_| BrokerError::Url)?;
    if uri.vhost.is_empty() {
        uri.vhost = "/".to_owned();
    }
    Ok(uri)
}

async fn open(connection: &Connection, limit: Duration) -> Result<Channel, BrokerError> {
    let opening = async {
        let channel = connection.create_channel().await?;
        channel.confirm_select(ConfirmSelectOptions::default()).await?;
        Ok(channel)
    };
    let during = "opening a channel";
    within(limit, during, |error| BrokerError::of(during, error), opening).await
}

/// An operation under a limit, its error in our words.
pub(super) async fn within<T>(
    limit: Duration,
    during: &'static str,
    reading: impl FnOnce(&lapin::Error) -> BrokerError,
    operation: impl Future<Output = lapin::Result<T>>,
) -> Result<T, BrokerError> {
    match tokio::time::timeout(limit, operation).await {
        Ok(outcome) => outcome.map_err(|error| reading(&error)),
        Err(_) => Err(BrokerError::timed_out(during)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_without_virtual_host_means_the_usual_one() {
        let vhost = |url: &str| read_url(&url.into()).map(|uri| uri.vhost);
        assert_eq!(vhost("amqp://u:p@127.0.0.1:5672"), Ok("/".to_owned()));
        assert_eq!(vhost("amqp://u:p@127.0.0.1:5672/"), Ok("/".to_owned()));
        assert_eq!(vhost("amqps://u:p@broker.example/%2Fstation"), Ok("/station".to_owned()));
        assert_eq!(vhost("http://u:s3cr3t@host"), Err(BrokerError::Url));
        assert_eq!(vhost("s3cr3t"), Err(BrokerError::Url));
    }

    #[test]
    fn the_host_is_the_one_that_the_url_names() {
        let uri = read_url(&"amqp://u:p@127.0.0.1:25872/%2f".into()).unwrap();
        assert_eq!((uri.authority.host.as_str(), uri.authority.port), ("127.0.0.1", 25872));
    }
}
