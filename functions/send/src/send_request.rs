//! The document of `POST /send` field by field: each of its type, not yet judged. `infra/openapi.yaml` is made from it.
use secrecy::SecretString;
use serde_json::Value;

use crate::document::Document;

/// What `POST /send` takes: one message. Null is absent; a field of another name is refused. The whole may have 64 KiB.
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[cfg_attr(test, schemars(deny_unknown_fields, extend("anyOf" = crate::openapi::schemas::something_to_say())))]
pub(crate) struct SendRequest {
    /// What it says, of any length; cleaned, and split into as many posts as it takes.
    pub(crate) body: Option<String>,
    /// Where it comes from, without the leading `source.`: `standard` unless told. The key says which it may use, the
    /// route which rooms it goes to.
    #[cfg_attr(test, schemars(transform = crate::openapi::schemas::source))]
    pub(crate) source: Option<String>,
    /// Its pictures, by their addresses, in order.
    #[cfg_attr(test, schemars(transform = crate::openapi::schemas::images))]
    pub(crate) images: Option<Vec<String>>,
    /// What makes a repeat a repeat: a message is posted once, however often it is sent. A number is written without
    /// fraction and exponent. Without a uid and without `Idempotency-Key` each request is a new message.
    #[cfg_attr(test, schemars(transform = crate::openapi::schemas::uid))]
    pub(crate) uid: Option<String>,
    /// The uid as the station's programs name it; if both are there, they are the same.
    #[cfg_attr(test, schemars(transform = crate::openapi::schemas::uid))]
    pub(crate) wbor_message_id: Option<String>,
    /// How urgent it is; the route decides unless told. Above `normal` only for keys marked `urgent`.
    #[cfg_attr(test, schemars(transform = crate::openapi::schemas::priority))]
    pub(crate) priority: Option<String>,
    /// The rooms it goes to, by name; the route decides unless told. Only for keys marked `rooms`.
    #[cfg_attr(test, schemars(length(min = 1)))]
    pub(crate) rooms: Option<Vec<String>>,
    /// Not to be posted after this time; in the future.
    #[cfg_attr(test, schemars(extend("format" = "date-time")))]
    pub(crate) expires_at: Option<String>,
    /// The key, for programs that set no header; if the header is there too, both are the same.
    #[cfg_attr(test, schemars(with = "Option<String>", extend("format" = "password", "writeOnly" = true)))]
    pub(crate) password: Option<SecretString>,
}

impl SendRequest {
    /// Takes every field that there is out of a document; what is of another type counts as absent and is noted.
    pub(crate) fn take(document: &mut Document) -> Self {
        Self {
            body: document.string("body"),
            source: document.string("source"),
            images: document.strings("images"),
            wbor_message_id: uid(document, "wbor_message_id"),
            uid: uid(document, "uid"),
            priority: document.string("priority"),
            rooms: document.strings("rooms"),
            expires_at: document.string("expires_at"),
            password: document.password.take(),
        }
    }
}

fn uid(document: &mut Document, field: &str) -> Option<String> {
    match document.take(field)? {
        Value::String(uid) => Some(uid),
        Value::Number(uid) if !uid.is_f64() => Some(uid.to_string()),
        _ => document.none(field, "must be a string or a whole number"),
    }
}
