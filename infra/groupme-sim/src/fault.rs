//! Faults to order: which requests go wrong, how often, and how.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A fault that waits for requests it fits. Faults are tried oldest first; one without `times` stays for ever and
/// hides later ones that fit the same requests.
#[derive(Clone, Debug)]
pub struct Fault {
    /// Only requests of this bot.
    pub bot_id: Option<String>,
    /// Only texts with this in them. For [`Endpoint::Pictures`] it is compared with the content type, for
    /// [`Endpoint::Messages`] with the path and query.
    pub containing: Option<String>,
    /// How many requests it hits; `None` is all of them.
    pub times: Option<u32>,
    /// What happens to them.
    pub what: What,
}

/// What goes wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum What {
    /// This HTTP status is the answer, in GroupMe's envelope.
    Status {
        /// The status.
        code: u16,
        /// The header `Retry-After`, in seconds.
        #[serde(default)]
        retry_after: Option<u32>,
        /// Whether the line appears all the same.
        #[serde(default)]
        shown: bool,
    },
    /// HTTP 400 whose envelope says `meta.code` 429: a rate limit that looks like a refusal. Not shown.
    #[serde(rename = "meta_code_429")]
    MetaCode429,
    /// No answer ever; the connection stays open until the caller hangs up.
    Silence {
        /// Whether the line appears all the same.
        #[serde(default)]
        shown: bool,
    },
    /// The connection is reset when the request arrives, before a byte of it is read. With a bot or a text to look
    /// for, the request has to be read first; the caller cannot tell the difference. Not shown.
    ResetBeforeRead,
    /// The connection is reset when the request has been read.
    ResetAfterRead {
        /// Whether the line appears all the same.
        #[serde(default)]
        shown: bool,
    },
    /// The line appears at once, the answer comes this much later. In JSON: milliseconds.
    Slow(#[serde(with = "crate::millis")] Duration),
    /// Answered like any other, but the line is never in the room, and no callback tells of it.
    NeverShown,
}

impl What {
    /// Whether the line appears in the room.
    pub(crate) fn shows(&self) -> bool {
        match self {
            Self::Status { shown, .. } | Self::Silence { shown } | Self::ResetAfterRead { shown } => *shown,
            Self::Slow(_) => true,
            Self::MetaCode429 | Self::ResetBeforeRead | Self::NeverShown => false,
        }
    }

    /// Whether the answer is a rate limit; if so, how long it says to wait.
    pub(crate) fn rate_limit(&self) -> Option<Option<Duration>> {
        match self {
            Self::Status { code: 403 | 420 | 429, retry_after, shown: false } => {
                Some(retry_after.map(|seconds| Duration::from_secs(seconds.into())))
            }
            Self::MetaCode429 => Some(None),
            _ => None,
        }
    }

    /// Whether a post that is not in the room need not come again: its answer says that it is, or never will be.
    pub(crate) fn settles(&self) -> bool {
        matches!(self, Self::NeverShown | Self::Status { code: 200..300 | 400, .. })
    }

    /// Whether the connection goes in the place of an answer.
    pub(crate) fn resets(&self) -> bool {
        matches!(self, Self::ResetBeforeRead | Self::ResetAfterRead { .. })
    }
}

impl Fault {
    /// This happens to the next request.
    pub fn once(what: What) -> Self {
        Self { bot_id: None, containing: None, times: Some(1), what }
    }

    /// This happens to every request until the faults are cleared.
    pub fn always(what: What) -> Self {
        Self { times: None, ..Self::once(what) }
    }
}

/// Which requests a fault is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Endpoint {
    /// `POST /v3/bots/post`
    #[default]
    Post,
    /// `GET /v3/groups/:id/messages`
    Messages,
    /// `POST /pictures`
    Pictures,
}

/// The faults that are still to happen.
#[derive(Default)]
pub(crate) struct Faults(Vec<(Endpoint, Fault)>);

impl Faults {
    pub(crate) fn push(&mut self, endpoint: Endpoint, fault: Fault) {
        if fault.times != Some(0) {
            self.0.push((endpoint, fault));
        }
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    /// The fault for a request that has been read.
    pub(crate) fn take(&mut self, endpoint: Endpoint, bot_id: Option<&str>, text: &str) -> Option<What> {
        let at = self.0.iter().position(|(place, fault)| {
            *place == endpoint
                && fault.bot_id.as_deref().is_none_or(|wanted| bot_id == Some(wanted))
                && fault.containing.as_deref().is_none_or(|wanted| text.contains(wanted))
        })?;
        Some(self.use_up(at))
    }

    /// Whether the next post, whatever it says, is to be reset before it is read. Only if nothing older could be
    /// meant for that post, which nobody has read yet.
    pub(crate) fn take_reset_before_read(&mut self) -> bool {
        let Some(at) = self.0.iter().position(|(place, _)| *place == Endpoint::Post) else { return false };
        let (_, fault) = &self.0[at];
        let meant = fault.what == What::ResetBeforeRead && fault.bot_id.is_none() && fault.containing.is_none();
        if meant {
            self.use_up(at);
        }
        meant
    }

    fn use_up(&mut self, at: usize) -> What {
        let fault = &mut self.0[at].1;
        let what = fault.what.clone();
        if let Some(times) = &mut fault.times {
            *times = times.saturating_sub(1);
            if *times == 0 {
                self.0.remove(at);
            }
        }
        what
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(code: u16) -> What {
        What::Status { code, retry_after: None, shown: false }
    }

    #[test]
    fn faults_happen_in_the_order_ordered_and_as_often() {
        let mut faults = Faults::default();
        faults.push(Endpoint::Post, Fault { times: Some(2), ..Fault::once(status(500)) });
        faults.push(Endpoint::Post, Fault::once(status(429)));
        let seen: Vec<_> = (0..4).map(|_| faults.take(Endpoint::Post, Some("b"), "x")).collect();
        assert_eq!(seen, [Some(status(500)), Some(status(500)), Some(status(429)), None]);
    }

    #[test]
    fn a_fault_for_one_bot_or_text_leaves_the_others_alone() {
        let mut faults = Faults::default();
        let poison =
            Fault { bot_id: Some("a".into()), containing: Some("poison".into()), ..Fault::always(status(500)) };
        faults.push(Endpoint::Post, poison);
        assert_eq!(faults.take(Endpoint::Post, Some("a"), "good"), None);
        assert_eq!(faults.take(Endpoint::Post, Some("b"), "poison"), None);
        assert_eq!(faults.take(Endpoint::Pictures, Some("a"), "poison"), None);
        for _ in 0..3 {
            assert_eq!(faults.take(Endpoint::Post, Some("a"), "a poison b"), Some(status(500)));
        }
    }

    #[test]
    fn an_unread_reset_waits_for_the_faults_before_it() {
        let mut faults = Faults::default();
        faults.push(Endpoint::Post, Fault::once(status(500)));
        faults.push(Endpoint::Post, Fault::once(What::ResetBeforeRead));
        assert!(!faults.take_reset_before_read());
        faults.take(Endpoint::Post, None, "");
        assert!(faults.take_reset_before_read());
        assert!(!faults.take_reset_before_read());
    }

    #[test]
    fn a_fault_of_no_times_is_not_in_the_way_of_the_next() {
        let mut faults = Faults::default();
        faults.push(Endpoint::Post, Fault { times: Some(0), ..Fault::once(status(500)) });
        faults.push(Endpoint::Post, Fault::once(status(429)));
        assert_eq!(faults.take(Endpoint::Post, None, ""), Some(status(429)));
    }
}
