//! Message x room -> parts: what the calls to the channel will say, in order.
use crate::message::Message;

/// How a message is dressed in a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Dress {
    /// Quotes, part labels and the uid footer, as the station's people know it.
    Classic,
    /// Nothing added but part labels.
    Plain,
}

/// What a channel can take in one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Hard limit of one post, in code points *and* in UTF-16 units, labels and footers included.
    pub post: usize,
    /// Where a text is cut.
    pub cut: usize,
}

/// What a part is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PartKind {
    /// A segment of the body.
    Text,
    /// One picture, with empty text.
    Picture,
    /// The closing line of a message without text.
    Closing,
    /// What could not be sent, and why.
    Notice,
}

impl PartKind {
    /// As stored.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Picture => "picture",
            Self::Closing => "closing",
            Self::Notice => "notice",
        }
    }
}

/// One API call's worth of a delivery, before it is stored.
#[derive(Clone, PartialEq, Eq)]
pub struct Draft {
    /// What it is.
    pub kind: PartKind,
    /// What it says; empty for a picture.
    pub text: String,
    /// A picture that already lies with the provider.
    pub picture_url: Option<String>,
}

impl std::fmt::Debug for Draft {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Draft({}, {} bytes)", self.kind.as_str(), self.text.len())
    }
}

/// The parts of a message in one room; never empty for a message with a body or media.
#[must_use]
pub fn compose(message: &Message, dress: Dress, limits: Limits) -> Vec<Draft> {
    let _ = (message, dress, limits);
    unimplemented!()
}
