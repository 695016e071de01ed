//! Saying one message: ask Talkback, wait for its word, and only then, where none came, take over.
use std::time::Duration;

use jiff::Timestamp;
use talkback::amqp_event::header;
use talkback::broker::{Broker, BrokerError, Props};
use talkback::channel::{ChannelError, groupme};
use tokio::time::{Instant, sleep_until, timeout_at};
use uuid::Uuid;

use crate::journal::{Journal, bot};
use crate::message::Message;
use crate::outcome::{Because, Outcome};
use crate::replies::{Asking, Line, Reply, Status};
use crate::settings::{Settings, margin};
use crate::spool::Spool;
use crate::take_over::Held;

/// How often it is seen to that somebody listens for replies.
const LOOK: Duration = Duration::from_millis(250);

/// Who wakes up this long after the moment it waited for was frozen, and listens once more before it decides.
const OVERSLEPT: Duration = Duration::from_millis(500);

/// Why a producer cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum ProducerError {
    /// The address of the broker.
    #[error(transparent)]
    Broker(#[from] BrokerError),
    /// The way to GroupMe.
    #[error(transparent)]
    Channel(#[from] ChannelError),
}

/// One bot's way to say things. Share it: many messages may be said at once.
pub struct Producer {
    pub(crate) settings: Settings,
    pub(crate) spool: Spool,
    pub(crate) broker: Broker,
    pub(crate) channel: groupme::GroupMe,
    line: Line,
}

/// What asking Talkback came to.
enum Asked {
    /// It answered.
    Told(Outcome),
    /// It did not, or said that it will not because it is our turn.
    Silent(Because, Option<Asking>, Timestamp),
}

impl Producer {
    /// A producer; nothing is connected to yet.
    ///
    /// # Errors
    /// An address that cannot be read, or a client that cannot be built.
    pub fn new(settings: Settings) -> Result<Self, ProducerError> {
        talkback::tls::install_ring();
        Ok(Self {
            spool: Spool::new(settings.spool.clone(), settings.spool_count, settings.spool_bytes),
            broker: Broker::new(settings.amqp_url.clone(), "talkback producer")?,
            channel: groupme::GroupMe::new(&settings.groupme, settings.http)?,
            line: Line::new(settings.amqp_url.clone()),
            settings,
        })
    }

    /// Says a message: through Talkback, or itself. Returns when Talkback has it, or when it is posted, or kept, or
    /// refused; that takes no longer than the patience, the margin, and the effort together, and some seconds for a
    /// broker that is slow.
    pub async fn send(&self, message: &Message) -> Outcome {
        // Begun before and not done with: asking Talkback now would be too late.
        let (room, effort) = (&self.settings.room, self.settings.effort);
        if let Some((entry, journal)) = self.spool.find(message.uid(), bot(room), None) {
            return self.finish(journal, Held::at(entry), Because::Spooled, None, effort).await;
        }
        let (because, mut asking, since) = match self.ask(message).await {
            Asked::Told(outcome) => return outcome,
            Asked::Silent(because, asking, since) => (because, asking, since),
        };
        let journal = Journal::begin(message, message.parts(room.dress, groupme::LIMITS), room);
        // The reply may be lost, or its way be cut: the room itself says whether Talkback was there.
        if asking.is_some()
            && let Some(first) = journal.parts.first()
            && self.look(first, since).await == Some(true)
        {
            return Outcome::Talkback { whole: false, banned: false, seen: true };
        }
        let held = Held::of(self.spool.insert(&journal));
        self.finish(journal, held, because, asking.as_mut(), effort).await
    }

    /// Publishes and waits for the reply.
    async fn ask(&self, message: &Message) -> Asked {
        // In whole seconds, as the property is: `deliver_by` less the timestamp is the patience to the letter.
        let now = Timestamp::from_second(Timestamp::now().as_second()).unwrap_or(Timestamp::UNIX_EPOCH);
        let correlation_id = Uuid::new_v4().to_string();
        let mut asking = self.line.ask(correlation_id.clone(), message.uid());
        if let Err(error) = self.line.listen().await {
            return Asked::Silent(Because::Broker(error), None, now);
        }
        let published = Timestamp::from_second(Timestamp::now().as_second()).unwrap_or(now);
        let deliver_by = published.checked_add(self.settings.patience).unwrap_or(Timestamp::MAX);
        let props = Props {
            reply_to: Some(self.line.queue.clone()),
            correlation_id: Some(correlation_id),
            message_id: Some(message.uid().to_string()),
            timestamp: Some(published),
            ..Props::default()
        }
        .with_header(header::DELIVER_BY, deliver_by.to_string().as_str());
        let begun = Instant::now();
        let confirmed = match self.publish(message, &props).await {
            Ok(confirmed) => confirmed,
            Err(error) => return Asked::Silent(Because::Broker(error), None, published),
        };
        let patience = self.settings.patience;
        // The stamp is made before the confirm. Without one the broker may sit on it: then our own clock is what counts.
        let since = if confirmed { Instant::now() } else { begun };
        let mut deadline = since + patience + margin(patience);
        let mut has_overslept = false;
        loop {
            let reply = tokio::select! {
                biased;
                reply = asking.heard() => Some(reply),
                () = sleep_until(deadline.min(Instant::now() + LOOK)) => None,
            };
            if let Some(reply) = reply {
                if reply.is_withdrawn() {
                    return Asked::Silent(Because::Withdrawn, Some(asking), published);
                }
                return Asked::Told(outcome(reply));
            }
            let now = Instant::now();
            if now >= deadline {
                if now < deadline + OVERSLEPT || has_overslept {
                    return Asked::Silent(Because::Silence { confirmed }, Some(asking), published);
                }
                (deadline, has_overslept) = (now + margin(patience), true);
            }
            // The connection may have gone, and the reply wait in the queue. A broker that is away is asked again.
            let _ = timeout_at(deadline, self.line.listen()).await;
        }
    }

    /// Publishes it; whether the broker confirmed it. What was perhaps taken is published once more: by its uid it is
    /// one message.
    async fn publish(&self, message: &Message, props: &Props) -> Result<bool, BrokerError> {
        let body = message.payload().to_string();
        let offer = || self.broker.offer(&self.settings.exchange, message.source().as_str(), body.as_bytes(), props);
        match offer().await {
            Ok(()) => Ok(true),
            Err(error) if error.may_be_there() => Ok(offer().await.is_ok()),
            Err(error) => Err(error),
        }
    }

    /// Closes what is open at the broker.
    pub async fn close(&self) {
        self.line.close().await;
        self.broker.close().await;
    }
}

impl Reply {
    /// Talkback came too late: only who comes after `deliver_by` withdraws, and leaves it to us.
    pub(crate) fn is_withdrawn(&self) -> bool {
        self.status == Status::Failure && self.reason.as_deref() == Some("withdrawn")
    }
}

/// What a reply means for who asked.
pub(crate) fn outcome(reply: Reply) -> Outcome {
    match reply.status {
        Status::Taken => Outcome::Talkback { whole: false, banned: false, seen: false },
        Status::Success => {
            Outcome::Talkback { whole: true, banned: reply.reason.as_deref() == Some("banned"), seen: false }
        }
        Status::Failure => Outcome::Refused { reason: reply.reason.unwrap_or_else(|| "failed".to_owned()) },
    }
}
