//! Asking a database that may be down, as both doors do: again while nothing was proven, not at all where the answer is
//! known; and remembering what was found.
use tokio::time::Instant;

use super::Relay;
use super::awake::TURNS;
use crate::store::StoreError;

/// One question, asked until its answer proves something.
pub(super) struct Question<'a> {
    relay: &'a Relay,
    /// It was known before that the database is down.
    pub(super) known: bool,
    last: Option<Instant>,
    turns: usize,
}

impl Relay {
    /// A question that is asked at most until `last`.
    ///
    /// # Errors
    /// The answer is known: it was down just now.
    pub(super) fn question(&self, last: Option<Instant>) -> Result<Question<'_>, StoreError> {
        let known = self.outage.is_known();
        if known && self.outage.was_asked() {
            return Err(StoreError::Unavailable("it was down just now"));
        }
        Ok(Question { relay: self, known, last, turns: 0 })
    }

    /// Goes on connecting, with all the time it takes: a database that is back, but slow to let anybody in, must find a
    /// connection ready when it is asked next.
    fn connect_meanwhile(&self) {
        if self.outage.begin_connecting() {
            let relay = self.clone();
            tokio::spawn(async move {
                relay.store.warm().await;
                relay.outage.end_connecting();
            });
        }
    }
}

impl Question<'_> {
    /// Whether that answer stands; if not, it is to be asked again. Only a failure during which the process was awake
    /// says that the database is down.
    pub(super) fn is_settled<T>(&mut self, (answer, was_awake): &(Result<T, StoreError>, bool)) -> bool {
        self.turns += 1;
        let relay = self.relay;
        let late = self.last.is_some_and(|last| Instant::now() >= last);
        match answer {
            Ok(_) if relay.outage.over() => tracing::info!("the database is back"),
            Ok(_) => {}
            Err(_) if !was_awake && self.turns < TURNS && !late => {
                relay.forget_what_it_slept_through();
                return false;
            }
            Err(error) => {
                relay.connect_meanwhile();
                if *was_awake {
                    relay.outage.asked();
                }
                // A brief look is not enough to say so anew: it must be asked properly now and then.
                if !self.known && *was_awake {
                    relay.outage.found();
                    let error = error as &dyn std::error::Error;
                    tracing::error!(error, "the database is down: alarms go without it, everything else is put aside");
                }
            }
        }
        true
    }
}
