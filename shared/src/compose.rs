//! Message x room -> parts: what the calls to the channel will say, in order: the text, the pictures, a closing line
//! where there was no text, and one notice of the pictures that could not be sent.
use crate::message::{Media, Message, Uid};
use crate::text::split;

/// Where pictures lie that the chat can show; all others would have to be brought there first.
const PICTURE_SERVICE: &str = "https://i.groupme.com/";

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
    /// Hard limit of one post, in code points *and* in UTF-16 units, labels and footers included; at least 160, so that
    /// beside the longest footer there is room for words.
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

/// The parts of a message in one room; never empty for a message with a body that is not blank, or with media.
///
/// White space that alone fills a part is left out; nothing else of the body is.
#[must_use]
pub fn compose(message: &Message, dress: Dress, limits: Limits) -> Vec<Draft> {
    let (pictures, unsendable): (Vec<&Media>, Vec<&Media>) =
        message.media.iter().partition(|media| can_post(&media.url));
    let footer = |attached| match dress {
        Dress::Classic => footer(&message.uid, attached),
        Dress::Plain => String::new(),
    };
    let text = |kind, text| Draft { kind, text, picture_url: None };

    let mut drafts: Vec<Draft> = texts(message.body.as_str(), dress, limits, &footer(pictures.len()))
        .into_iter()
        .map(|said| text(PartKind::Text, said))
        .collect();
    let wordless = drafts.is_empty();
    drafts.extend(pictures.iter().map(|picture| Draft {
        kind: PartKind::Picture,
        text: String::new(),
        picture_url: Some(picture.url.clone()),
    }));
    if wordless && !pictures.is_empty() && dress == Dress::Classic {
        drafts.push(text(PartKind::Closing, closing(pictures.len()) + &footer(0)));
    }
    if !unsendable.is_empty() {
        // Where nothing else was said, the notice is what people look the message up by.
        let footer = if drafts.is_empty() { footer(0) } else { String::new() };
        drafts.push(text(PartKind::Notice, notice(unsendable.len()) + &footer));
    }
    drafts
}

/// Whether a picture can be posted by this URL as it is.
fn can_post(url: &str) -> bool {
    url.len() > PICTURE_SERVICE.len() && url.starts_with(PICTURE_SERVICE) && url.bytes().all(|b| b.is_ascii_graphic())
}

/// The text posts of a body, dressed.
fn texts(body: &str, dress: Dress, limits: Limits, footer: &str) -> Vec<String> {
    let quote = if dress == Dress::Classic { "\"" } else { "" };
    // Label, quotes and footer are ASCII: as many code points as UTF-16 units as bytes.
    let room = |label: usize| limits.post.saturating_sub(2 * quote.len() + label + footer.len());
    let mut pieces = cut(body, limits.cut, room(0));
    // Labels take room, and how much shows only when the parts are counted: one digit more each time.
    let mut digits = 1;
    while pieces.len() > 1 {
        pieces = cut(body, limits.cut, room(label(0, 0).len() + 2 * (digits - 1)));
        if pieces.len().to_string().len() <= digits {
            break;
        }
        digits += 1;
    }
    let count = pieces.len();
    let dressed = pieces.iter().enumerate().map(|(i, piece)| {
        let label = if count > 1 { label(i + 1, count) } else { String::new() };
        let footer = if i + 1 == count { footer } else { "" };
        format!("{label}{quote}{piece}{quote}{footer}")
    });
    dressed.collect()
}

/// The pieces of a body that say something.
fn cut(body: &str, at: usize, room: usize) -> Vec<&str> {
    split(body, at.min(room), room).into_iter().filter(|piece| !piece.trim().is_empty()).collect()
}

fn label(part: usize, of: usize) -> String {
    format!("({part}/{of}):\n")
}

/// The footer by which people look a message up.
fn footer(uid: &Uid, attached: usize) -> String {
    let attached = match attached {
        0 => String::new(),
        1 => "\n1 media item attached".to_owned(),
        many => format!("\n{many} media items attached"),
    };
    format!("\n---UID---\n{}{attached}\n---------", uid.short())
}

fn closing(pictures: usize) -> String {
    match pictures {
        1 => "1 picture was sent, without any text.".to_owned(),
        many => format!("{many} pictures were sent, without any text."),
    }
}

fn notice(pictures: usize) -> String {
    match pictures {
        1 => "1 picture could not be sent: it is not on GroupMe's picture service.".to_owned(),
        many => format!("{many} pictures could not be sent: they are not on GroupMe's picture service."),
    }
}
