//! Channels: the ways to speak in a room. One file each under `channel/`, one line each in [`CHANNELS`]. A channel
//! declares its limits, makes one call, and takes a picture; splitting, pacing, retries and records are the relay's.
pub mod groupme;

use std::pin::Pin;
use std::time::Duration;

use serde_json::Value;

use crate::compose::Limits;
use crate::config::{Room, Settings};
use crate::guard::Guard;
use crate::picture::{Missing, Picture};

/// Makes a channel.
pub type Make = fn(&Settings) -> Result<Box<dyn Channel>, ChannelError>;

/// Every channel: the word in `[[rooms]] channel`, its limits, and how it is made.
pub const CHANNELS: &[(&str, Limits, Make)] = &[("groupme", groupme::LIMITS, groupme::make)];

/// A future that a channel returns.
pub type Calling<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Why a channel cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum ChannelError {
    /// The HTTP client could not be built.
    #[error("the HTTP client cannot be built")]
    Client,
    /// No such channel.
    #[error("no channel of this name")]
    Unknown,
}

/// How a post ended: what may be done next is said by the type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// The provider took it.
    Posted,
    /// Surely not posted; try again, after that time where the provider names one.
    Retry {
        /// `Retry-After`.
        after: Option<Duration>,
        /// The provider says that we are too fast.
        limited: bool,
    },
    /// Nothing was sent: by the time it could be, it was too late to call.
    Late,
    /// Surely not posted, and never will be.
    Refuse {
        /// What is wrong.
        why: Refusal,
    },
    /// It may be in the room: no answer after the request began, or an answer that does not tell.
    Unknown,
}

/// What the provider refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// This part.
    Part,
    /// The room: address or token is wrong.
    Room,
}

/// One call and its end, ready to be written down: no secret is in it.
#[derive(Debug, Clone)]
pub struct Call {
    /// How it ended.
    pub answer: Answer,
    /// HTTP status, if there was an answer.
    pub status: Option<u16>,
    /// What was said, without the address.
    pub request: Value,
    /// What was answered.
    pub response: Option<Value>,
    /// What went wrong.
    pub error: Option<String>,
}

/// What is to be said.
#[derive(Clone)]
pub struct Post<'a> {
    /// Where.
    pub room: &'a Room,
    /// The text; may be empty with a picture.
    pub text: &'a str,
    /// A picture that lies with the provider.
    pub picture_url: Option<&'a str>,
}

/// A line found in a room.
#[derive(Clone)]
pub struct ReadLine {
    /// As the provider's callback would have it.
    pub json: Value,
}

/// What reading a room back gave.
pub enum ReadBack {
    /// The latest lines, newest first, back to the asked moment or to the provider's limit.
    Lines(Vec<ReadLine>),
    /// It could not be read now.
    Failed {
        /// HTTP status, if there was an answer.
        status: Option<u16>,
        /// What went wrong, without secrets.
        error: String,
    },
}

/// What became of an upload.
#[derive(Debug, Clone)]
pub struct Uploaded {
    /// Where the picture lies now, for [`Post::picture_url`]; or why it does not.
    pub result: Result<String, Missing>,
    /// Every call that was made for it, in order; none where there is no token.
    pub calls: Vec<UploadCall>,
    /// `Retry-After` of the last one.
    pub after: Option<Duration>,
}

/// One call to the provider's picture service, ready to be written down: neither secret nor content is in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UploadCall {
    /// HTTP status, if there was an answer.
    pub status: Option<u16>,
    /// From connecting to the last byte of the answer.
    pub latency: Duration,
    /// What we said that the picture is.
    pub media_type: &'static str,
    /// What went wrong.
    pub error: Option<String>,
}

/// A way to speak in a room.
pub trait Channel: Send + Sync {
    /// The word in the configuration and in rows.
    fn name(&self) -> &'static str;

    /// Makes one call, within `limit` in all; the request leaves only while `guard` is open.
    fn post<'a>(&'a self, post: Post<'a>, limit: Duration, guard: Guard) -> Calling<'a, Call>;

    /// Reads the room's lines since a moment (seconds of the epoch, by the provider's clock), within `limit` in all.
    fn read_back<'a>(&'a self, room: &'a Room, since: i64, limit: Duration) -> Calling<'a, ReadBack>;

    /// Puts a picture where the rooms of this channel can show it, within `limit` in all.
    fn upload<'a>(&'a self, picture: &'a Picture, limit: Duration) -> Calling<'a, Uploaded>;
}

/// Makes the channel of a room.
///
/// # Errors
/// An unknown name, or a client that cannot be built.
pub fn make(name: &str, settings: &Settings) -> Result<Box<dyn Channel>, ChannelError> {
    let (_, _, make) = CHANNELS.iter().find(|(known, ..)| *known == name).ok_or(ChannelError::Unknown)?;
    make(settings)
}

/// What one post of a channel can take; `None` for an unknown channel.
#[must_use]
pub fn limits(name: &str) -> Option<Limits> {
    CHANNELS.iter().find(|(known, ..)| *known == name).map(|(_, limits, _)| *limits)
}
