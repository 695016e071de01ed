//! What can go wrong with the broker. Never holds the URL, a credential or a body: lapin's own errors may quote all
//! three, so they are read here and dropped.
use lapin::ErrorKind;

/// What is being done from the first byte of a message on.
pub(super) const PUBLISHING: &str = "publishing";

/// Why an operation on the broker failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BrokerError {
    /// `AMQP_URL` cannot be read.
    #[error("AMQP_URL is no amqp:// or amqps:// address")]
    Url,
    /// No connection could be made.
    #[error("cannot connect to the broker: {0}")]
    Connect(Cause),
    /// The connection or channel went away, or no answer came in time. What was published may have arrived.
    #[error("the broker was lost while {during}: {cause}")]
    Lost {
        /// What was being done.
        during: &'static str,
        /// How it ended.
        cause: Cause,
    },
    /// The broker said no to a publish: a queue is full or could not store it. It was not taken.
    #[error("the broker did not take the message")]
    Nacked,
    /// No queue is bound for this exchange and key. It was not taken.
    #[error("no queue takes this message: nothing is bound for its exchange and routing key")]
    Unroutable,
    /// The broker refused the operation for good.
    #[error("the broker refused {during}: {cause}")]
    Refused {
        /// What was being done.
        during: &'static str,
        /// Its AMQP code.
        cause: Cause,
    },
    /// A queue or exchange that should be there is not.
    #[error("{what} {name} does not exist on the broker")]
    Missing {
        /// `queue` or `exchange`.
        what: &'static str,
        /// Its name.
        name: String,
    },
    /// A queue or exchange is there, but with other arguments.
    #[error("{what} {name} exists with other arguments: {difference}")]
    Differs {
        /// `queue` or `exchange`.
        what: &'static str,
        /// Its name.
        name: String,
        /// The argument and both its values, in the broker's words.
        difference: String,
    },
    /// A name or property is longer than AMQP's 255 bytes.
    #[error("{0} is longer than 255 bytes")]
    TooLong(&'static str),
    /// A probe was taken by the stamp queue and did not come out of the relay.
    #[error("a probe did not come through {stamp} within {waited_ms} ms", stamp = super::STAMP)]
    Stuck {
        /// How long it was waited for.
        waited_ms: u128,
    },
}

/// How a connection or an operation ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// No answer in time.
    TimedOut,
    /// The network, by its kind.
    Io(std::io::ErrorKind),
    /// An AMQP code of the broker.
    Code(u16),
    /// The connection or channel was closed before.
    Closed,
}

impl std::fmt::Display for Cause {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let code = match self {
            Self::TimedOut => return f.write_str("no answer in time"),
            Self::Io(kind) => return kind.fmt(f),
            Self::Closed => return f.write_str("the connection was closed"),
            Self::Code(code) => code,
        };
        let word = match code {
            320 => "the broker closed the connection",
            403 => "access refused: user, password or permission",
            404 => "not found",
            405 => "locked by another connection",
            406 => "precondition failed",
            530 => "not allowed: no such virtual host, or no permission for it",
            _ => return write!(f, "AMQP code {code}"),
        };
        write!(f, "{word} ({code})")
    }
}

impl Cause {
    fn of(error: &lapin::Error) -> Self {
        match error.kind() {
            ErrorKind::IOError(io) | ErrorKind::RuntimeShutdownError(io) => Self::Io(io.kind()),
            ErrorKind::ProtocolError(amqp) => Self::Code(amqp.get_id()),
            ErrorKind::MissingHeartbeatError => Self::TimedOut,
            _ => Self::Closed,
        }
    }
}

impl BrokerError {
    /// An error of an operation on a connection that was there.
    #[must_use]
    pub fn of(during: &'static str, error: &lapin::Error) -> Self {
        let cause = Cause::of(error);
        if error.is_amqp_soft_error() { Self::Refused { during, cause } } else { Self::Lost { during, cause } }
    }

    /// An error of connecting.
    pub(super) fn connecting(error: &lapin::Error) -> Self {
        Self::Connect(Cause::of(error))
    }

    /// No answer within a limit.
    #[must_use]
    pub fn timed_out(during: &'static str) -> Self {
        Self::Lost { during, cause: Cause::TimedOut }
    }

    /// An error of declaring a thing of ours, in words of the trade.
    pub(super) fn declaring(what: &'static str, name: &str, error: &lapin::Error) -> Self {
        let name = name.to_owned();
        let text = match error.kind() {
            ErrorKind::ProtocolError(amqp) => amqp.get_message().as_str(),
            _ => "",
        };
        match Cause::of(error) {
            Cause::Code(404) => Self::Missing { what, name },
            Cause::Code(406) => Self::Differs { what, name, difference: difference(text) },
            _ => Self::of("declaring the topology", error),
        }
    }

    /// Whether what was to be published may be on the broker although this was the answer: none came, or one queue
    /// refused what another may have taken.
    #[must_use]
    pub fn may_be_there(&self) -> bool {
        matches!(self, Self::Nacked | Self::Lost { during: PUBLISHING, .. })
    }

    /// Whether the same operation may succeed on a new connection.
    #[must_use]
    pub fn is_connection(&self) -> bool {
        matches!(self, Self::Connect(_) | Self::Lost { .. })
    }
}

/// The telling part of `PRECONDITION_FAILED - inequivalent arg 'x-overflow' for queue 'q' in vhost '/': received …`.
fn difference(text: &str) -> String {
    let argument = text.split('\'').nth(1).filter(|_| text.contains("inequivalent arg"));
    let values = text.split_once("': ").map(|(_, values)| values);
    match (argument, values) {
        (Some(argument), Some(values)) => format!("{argument}: {values}"),
        (Some(argument), None) => argument.to_owned(),
        (None, _) => "the broker does not say which".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_difference_names_the_argument_and_both_values() {
        let text = "PRECONDITION_FAILED - inequivalent arg 'x-message-ttl' for queue 'talkback.retry' in vhost '/': \
                    received the value '5000' of type 'signedint' but current is the value '1' of type 'signedint'";
        let expected = "x-message-ttl: received the value '5000' of type 'signedint' but current is the value '1' of \
                        type 'signedint'";
        assert_eq!(difference(text), expected);
        assert_eq!(difference("PRECONDITION_FAILED - unknown"), "the broker does not say which");
    }

    #[test]
    fn neither_url_nor_body_reaches_an_error() {
        let secret = "amqp://user:s3cr3t@host +12075550142";
        let io = lapin::Error::from(std::io::Error::other(secret));
        let auth = lapin::Error::from(ErrorKind::AuthProviderError(secret.to_owned()));
        for error in [io, auth] {
            for ours in [
                BrokerError::of("publishing", &error),
                BrokerError::connecting(&error),
                BrokerError::declaring("queue", "talkback", &error),
            ] {
                let shown = format!("{ours} {ours:?}");
                assert!(!shown.contains("s3cr3t") && !shown.contains("2075550142"), "{shown}");
                assert!(std::error::Error::source(&ours).is_none());
            }
        }
    }
}
