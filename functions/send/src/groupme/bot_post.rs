//! What a bot says: text and pictures as a message. What would be lost on the way is refused by its name.
use lambda_http::http::{HeaderMap, StatusCode};
use secrecy::SecretString;
use serde_json::Value;
use talkback::message::{Media, Message, Uid};
use talkback::route::RoutingKey;
use talkback::text::Text;
use uuid::Uuid;

use super::fields::Fields;
use crate::message::{IDEMPOTENCY_KEY, MOST_IMAGES, WEB_ADDRESS, idempotency_key, is_web_address};
use crate::problem::{Fault, Problem};

/// Attachments that are pictures, with a `url`.
pub(crate) const PICTURES: [&str; 2] = ["image", "linked_image"];

/// Attachments that only annotate the text: without them it still says all that it says.
pub(crate) const ANNOTATIONS: [&str; 4] = ["mentions", "emoji", "reply", "split"];

/// What `POST /v3/bots/post` takes, as GroupMe does: a post of a bot. Null is absent; fields of other names are ignored.
/// The whole may have 64 KiB.
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[cfg_attr(test, schemars(extend("anyOf" = crate::openapi::schemas::something_to_post())))]
pub(crate) struct BotPost {
    /// A send key; it decides the source. Every one that is no key is answered alike.
    #[cfg_attr(test, schemars(with = "String", extend("format" = "password", "writeOnly" = true)))]
    pub(crate) bot_id: Option<SecretString>,
    /// What it says, of any length (GroupMe takes 1,000 characters); may be empty with a picture.
    #[cfg_attr(test, schemars(with = "Option<String>"))]
    text: Option<Value>,
    /// A picture.
    #[cfg_attr(test, schemars(transform = crate::openapi::schemas::picture_url))]
    picture_url: Option<Value>,
    /// Pictures, and what only annotates the text, which is ignored. Anything else would be lost and is refused. With
    /// `picture_url` at most ten pictures; the same one counts once.
    #[cfg_attr(test, schemars(transform = crate::openapi::schemas::attachments))]
    attachments: Option<Value>,
}

impl BotPost {
    /// Takes the secret out of the fields, and looks at the others.
    pub(crate) fn take(fields: &mut Fields) -> Self {
        Self {
            bot_id: fields.take_bot_id(),
            text: fields.get("text"),
            picture_url: fields.get("picture_url"),
            attachments: fields.get("attachments"),
        }
    }

    /// What is said.
    ///
    /// # Errors
    /// 400 with everything that is wrong.
    pub(crate) fn judge(self) -> Result<Said, Problem> {
        let mut faults = Vec::new();
        let text = string("text", self.text, &mut faults);
        let picture_url = string("picture_url", self.picture_url, &mut faults);
        let pictures = pictures(picture_url, self.attachments, &mut faults);
        let text = Text::clean(&text.unwrap_or_default());
        if text.is_blank() && pictures.is_empty() && faults.is_empty() {
            faults.push(fault("text", "or `picture_url` must say something"));
        }
        if !faults.is_empty() {
            return Err(Problem::faults(faults));
        }
        Ok(Said { text, media: pictures.into_iter().map(|url| Media { url, content_type: None }).collect() })
    }
}

/// Text and pictures of a post.
pub(crate) struct Said {
    text: Text,
    media: Vec<Media>,
}

impl Said {
    /// As a message from this source.
    ///
    /// # Errors
    /// 400 if the `Idempotency-Key` can be no uid.
    pub(crate) fn message(self, source: RoutingKey, headers: &HeaderMap) -> Result<Message, Problem> {
        let uid = match idempotency_key(headers) {
            None => Uid::from_uuid(Uuid::new_v4()),
            Some(uid) => Uid::parse(&uid, &source)
                .map_err(|error| Problem::field(StatusCode::BAD_REQUEST, IDEMPOTENCY_KEY, &error.to_string()))?,
        };
        Ok(Message {
            uid,
            source,
            sender: None,
            body: self.text,
            media: self.media,
            priority: None,
            rooms: None,
            expires_at: None,
            wants_ack_url: false,
        })
    }
}

fn fault(field: impl Into<String>, what: &str) -> Fault {
    (field.into(), what.to_owned())
}

/// A string, or the digits of a number.
fn string(field: &str, told: Option<Value>, faults: &mut Vec<Fault>) -> Option<String> {
    match told? {
        Value::String(text) => Some(text),
        Value::Number(number) => Some(number.to_string()),
        _ => {
            faults.push(fault(field, "must be a string"));
            None
        }
    }
}

/// The addresses of all pictures, in order, each once.
fn pictures(picture_url: Option<String>, attachments: Option<Value>, faults: &mut Vec<Fault>) -> Vec<String> {
    let mut pictures: Vec<String> = Vec::new();
    if let Some(url) = picture_url.filter(|url| !url.trim().is_empty()) {
        add(&mut pictures, "picture_url".to_owned(), &url, faults);
    }
    match attachments {
        None => {}
        Some(Value::Array(list)) => {
            for (index, attachment) in list.iter().enumerate() {
                let kind = attachment["type"].as_str().unwrap_or_default();
                if PICTURES.contains(&kind) {
                    let url = attachment["url"].as_str().unwrap_or_default();
                    add(&mut pictures, format!("attachments[{index}].url"), url, faults);
                } else if !ANNOTATIONS.contains(&kind) {
                    let known = [&PICTURES[..], &ANNOTATIONS[..]].concat().join(", ");
                    let what = format!("must be one of {known}: nothing else can be shown");
                    faults.push(fault(format!("attachments[{index}].type"), &what));
                }
            }
        }
        Some(_) => faults.push(fault("attachments", "must be a list, in a body of JSON")),
    }
    if pictures.len() > MOST_IMAGES {
        faults.push(fault("attachments", &format!("may bring {MOST_IMAGES} pictures at most")));
    }
    pictures
}

fn add(pictures: &mut Vec<String>, field: String, url: &str, faults: &mut Vec<Fault>) {
    if !is_web_address(url) {
        faults.push(fault(field, WEB_ADDRESS));
    } else if !pictures.iter().any(|known| known == url) {
        pictures.push(url.to_owned());
    }
}

#[cfg(test)]
mod tests;
