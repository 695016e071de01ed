//! Message x room -> parts: what the calls to the channel will say, in order: the text, the pictures, a closing line
//! where there was no text, and one notice of the pictures that could not be sent.
use crate::message::Media;
use crate::picture::Missing;
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
    /// Where the picture lies with the provider, once it does.
    pub picture_url: Option<String>,
}

impl std::fmt::Debug for Draft {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Draft({}, {} bytes)", self.kind.as_str(), self.text.len())
    }
}

/// One medium of a message, as far as is known of it.
#[derive(Clone, PartialEq, Eq)]
pub enum Medium {
    /// It lies where the chat can show it.
    There(String),
    /// It has to be brought there first, and counts as if it were.
    Coming,
    /// It cannot be shown.
    Missing(Missing),
}

impl Medium {
    fn missing(&self) -> Option<Missing> {
        match self {
            Self::Missing(missing) => Some(*missing),
            Self::There(_) | Self::Coming => None,
        }
    }

    /// What a message's medium is before anything was brought; `uploads`: whether something can be.
    #[must_use]
    pub fn of(media: &Media, uploads: bool) -> Self {
        match can_post(&media.url) {
            true => Self::There(media.url.clone()),
            false if uploads => Self::Coming,
            false => Self::Missing(Missing::NoToken),
        }
    }
}

/// What is to be said in a room, before it is dressed.
#[derive(Clone, Copy)]
pub struct Said<'a> {
    /// What people see and type of the message's uid.
    pub short_uid: &'a str,
    /// The clean text.
    pub body: &'a str,
    /// The media, in order.
    pub media: &'a [Medium],
}

/// The parts of a message in one room; never empty for a message with a body that is not blank, or with media.
///
/// White space that alone fills a part is left out; nothing else of the body is.
#[must_use]
pub fn compose(said: &Said<'_>, dress: Dress, limits: Limits) -> Vec<Draft> {
    let missing: Vec<Missing> = said.media.iter().filter_map(Medium::missing).collect();
    let attached = said.media.len() - missing.len();
    let footer = |attached| match dress {
        Dress::Classic => footer(said.short_uid, attached),
        Dress::Plain => String::new(),
    };
    let text = |kind, text| Draft { kind, text, picture_url: None };

    let mut drafts: Vec<Draft> =
        texts(said.body, dress, limits, &footer(attached)).into_iter().map(|said| text(PartKind::Text, said)).collect();
    let wordless = drafts.is_empty();
    drafts.extend(
        said.media
            .iter()
            .filter_map(|medium| match medium {
                Medium::There(url) => Some(Some(url.clone())),
                Medium::Coming => Some(None),
                Medium::Missing(_) => None,
            })
            .map(|picture_url| Draft { kind: PartKind::Picture, text: String::new(), picture_url }),
    );
    if wordless && attached > 0 && dress == Dress::Classic {
        drafts.push(text(PartKind::Closing, closing(attached) + &footer(0)));
    }
    if !missing.is_empty() {
        // Where nothing else was said, the notice is what people look the message up by.
        let footer = if drafts.is_empty() { footer(0) } else { String::new() };
        drafts.push(text(PartKind::Notice, notice(&missing) + &footer));
    }
    drafts
}

/// Whether a picture can be posted by this URL as it is: it has a name on the service, and no path behind that.
fn can_post(url: &str) -> bool {
    let name = url.strip_prefix(PICTURE_SERVICE).unwrap_or_default();
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_graphic() && b != b'/')
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
fn footer(short_uid: &str, attached: usize) -> String {
    let attached = match attached {
        0 => String::new(),
        1 => "\n1 media item attached".to_owned(),
        many => format!("\n{many} media items attached"),
    };
    format!("\n---UID---\n{short_uid}{attached}\n---------")
}

fn closing(pictures: usize) -> String {
    match pictures {
        1 => "1 picture was sent, without any text.".to_owned(),
        many => format!("{many} pictures were sent, without any text."),
    }
}

/// Says how many are missing, and why; the reasons in the order in which they come first.
fn notice(missing: &[Missing]) -> String {
    let mut reasons: Vec<(&str, usize)> = Vec::new();
    for reason in missing.iter().map(|missing| spoken(*missing)) {
        match reasons.iter_mut().find(|(known, _)| *known == reason) {
            Some((_, count)) => *count += 1,
            None => reasons.push((reason, 1)),
        }
    }
    let why = match reasons.as_slice() {
        [(reason, _)] => (*reason).to_owned(),
        many => many.iter().map(|(reason, count)| format!("{count} {reason}")).collect::<Vec<_>>().join("; "),
    };
    match missing.len() {
        1 => format!("1 picture could not be sent: {why}."),
        many => format!("{many} pictures could not be sent: {why}."),
    }
}

/// Why a picture is missing, as people say it of one or of many.
fn spoken(missing: Missing) -> &'static str {
    match missing {
        Missing::Address => "at an address that is not allowed",
        Missing::Unreachable => "at an address that does not answer",
        Missing::Silent => "not there in time",
        Missing::Status => "not to be had at its address",
        Missing::TooLarge => "too large",
        Missing::NoPicture => "no gif, jpeg or png",
        Missing::NoToken => "Talkback has no access token for uploads",
        Missing::Refused => "refused by GroupMe",
        Missing::Unavailable => "GroupMe's picture service does not answer",
        Missing::GaveUp => "Talkback had to give up",
    }
}
