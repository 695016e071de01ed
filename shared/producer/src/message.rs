//! What is to be said: clean, with a uid, and the same parts that Talkback would post.
use talkback::compose::{Draft, Dress, Limits, Medium, Said, compose};
use talkback::message::{Media, Priority, Uid};
use talkback::route::RoutingKey;
use talkback::text::Text;
use uuid::Uuid;

/// One thing to be said.
#[derive(Clone)]
pub struct Message {
    uid: Uuid,
    source: RoutingKey,
    body: Text,
    images: Vec<String>,
    priority: Option<Priority>,
}

impl std::fmt::Debug for Message {
    /// Not what it says: that may be a listener's.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Message({})", self.uid)
    }
}

/// What cannot be said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MessageError {
    /// Neither text nor picture.
    #[error("there is nothing to say")]
    Nothing,
    /// The source is no routing key.
    #[error("the source must be a routing key, such as source.standard")]
    Source,
}

impl Message {
    /// A message with a uid of its own. `source` is its routing key, by which Talkback finds the room.
    ///
    /// # Errors
    /// If the source is no routing key, or the text is blank: a message of pictures alone is made by
    /// [`with_pictures`](Self::with_pictures).
    pub fn new(source: &str, text: &str) -> Result<Self, MessageError> {
        Self::with_pictures(source, text, Vec::new())
    }

    /// The same with pictures, by their addresses. Talkback brings them to GroupMe; where it is down, only those that lie
    /// there already can be shown.
    ///
    /// # Errors
    /// If the source is no routing key, or there are neither words nor pictures.
    pub fn with_pictures(source: &str, text: &str, images: Vec<String>) -> Result<Self, MessageError> {
        let source = RoutingKey::parse(source).map_err(|_| MessageError::Source)?;
        let body = Text::clean(text);
        if body.is_blank() && images.is_empty() {
            return Err(MessageError::Nothing);
        }
        Ok(Self { uid: Uuid::new_v4(), source, body, images, priority: None })
    }

    /// The same message under this uid: whoever says it again must say it under the same one.
    #[must_use]
    pub fn under(self, uid: Uuid) -> Self {
        Self { uid, ..self }
    }

    /// How much it matters; its route decides where this is not said.
    #[must_use]
    pub fn of(self, priority: Priority) -> Self {
        Self { priority: Some(priority), ..self }
    }

    /// What makes a repeat a repeat.
    #[must_use]
    pub fn uid(&self) -> Uuid {
        self.uid
    }

    pub(crate) fn source(&self) -> &RoutingKey {
        &self.source
    }

    pub(crate) fn priority(&self) -> Priority {
        self.priority.unwrap_or(Priority::Normal)
    }

    /// What is published: the station's common form.
    pub(crate) fn payload(&self) -> serde_json::Value {
        let mut payload = serde_json::json!({
            "body": self.body.as_str(), "source": talkback::route::name_of(self.source.as_str()),
            "wbor_message_id": self.uid.to_string(),
        });
        if !self.images.is_empty() {
            payload["images"] = self.images.clone().into();
        }
        if let Some(priority) = self.priority {
            payload["priority"] = priority.as_str().into();
        }
        payload
    }

    /// The parts, to the letter as Talkback would post them where it cannot upload pictures.
    pub(crate) fn parts(&self, dress: Dress, limits: Limits) -> Vec<Draft> {
        let uid = Uid::from_uuid(self.uid);
        let media = |url: &String| Medium::of(&Media { url: url.clone(), content_type: None }, false);
        let media: Vec<Medium> = self.images.iter().map(media).collect();
        compose(&Said { short_uid: uid.short(), body: self.body.as_str(), media: &media }, dress, limits)
    }
}
