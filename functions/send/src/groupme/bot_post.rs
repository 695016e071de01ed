//! What a bot says: text and pictures as a message. What would be lost on the way is refused by its name.
use lambda_http::http::{HeaderMap, StatusCode};
use serde_json::Value;
use talkback::json::Object;
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

/// A post as it was read.
pub(super) struct Said {
    text: Text,
    media: Vec<Media>,
    uid: Option<String>,
}

impl Said {
    /// Reads the fields, which are without the bot id.
    ///
    /// # Errors
    /// 400 with everything that is wrong.
    pub(super) fn read(fields: Fields, headers: &HeaderMap) -> Result<Self, Problem> {
        let object = fields.object().ok_or_else(|| Problem::new(StatusCode::BAD_REQUEST, "the body is no object"))?;
        let mut faults = Vec::new();
        let text = string(&object, "text", &mut faults);
        let pictures = pictures(&object, &mut faults);
        let text = Text::clean(&text.unwrap_or_default());
        if text.is_blank() && pictures.is_empty() && faults.is_empty() {
            faults.push(fault("text", "or `picture_url` must say something"));
        }
        if !faults.is_empty() {
            return Err(Problem::faults(faults));
        }
        let media = pictures.into_iter().map(|url| Media { url, content_type: None }).collect();
        Ok(Self { text, media, uid: idempotency_key(headers) })
    }

    /// As a message from this source.
    ///
    /// # Errors
    /// 400 if the `Idempotency-Key` can be no uid.
    pub(super) fn message(self, source: RoutingKey) -> Result<Message, Problem> {
        let uid = match self.uid {
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

fn string(object: &Object, field: &'static str, faults: &mut Vec<Fault>) -> Option<String> {
    object.text(field).unwrap_or_else(|wrong| {
        faults.push(fault(field, &format!("must be {}", wrong.wanted)));
        None
    })
}

/// The addresses of all pictures, in order, each once.
fn pictures(object: &Object, faults: &mut Vec<Fault>) -> Vec<String> {
    let mut pictures: Vec<String> = Vec::new();
    if let Some(url) = string(object, "picture_url", faults).filter(|url| !url.trim().is_empty()) {
        add(&mut pictures, "picture_url".to_owned(), &url, faults);
    }
    match object.get("attachments") {
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
