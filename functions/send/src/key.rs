//! Who asks, and what that one may ask for.
use std::time::Instant;

use lambda_http::http::{HeaderMap, StatusCode, header};
use secrecy::{ExposeSecret as _, SecretString};
use talkback::message::{Message, Priority};
use talkback::relay::Relay;
use talkback::send_key::{self, SendKey};

use crate::problem::Problem;

/// The key in `Authorization: Bearer …`, if that header is there.
///
/// # Errors
/// 401 for another scheme, several headers, or none that can be read.
pub(crate) fn bearer(headers: &HeaderMap) -> Result<Option<&str>, Problem> {
    let mut told = headers.get_all(header::AUTHORIZATION).iter();
    let Some(first) = told.next() else { return Ok(None) };
    let credential = first.to_str().ok().and_then(|value| value.split_once(' '));
    match credential {
        Some((scheme, key)) if scheme.eq_ignore_ascii_case("bearer") && told.next().is_none() => Ok(Some(key.trim())),
        _ => Err(Problem::unauthorized()),
    }
}

/// Whose key was presented.
///
/// # Errors
/// 401 if none was, or one that nobody has.
pub(crate) fn known<'a>(keys: &'a [SendKey], presented: Option<&str>) -> Result<&'a SendKey, Problem> {
    let presented = presented.filter(|key| !key.is_empty()).ok_or_else(Problem::unauthorized)?;
    send_key::find(keys, presented).ok_or_else(Problem::unauthorized)
}

/// Whose key was presented in the header, the document, or both.
///
/// # Errors
/// 401 also if both are there and differ, although each may be somebody's.
pub(crate) fn of_both<'a>(
    keys: &'a [SendKey],
    bearer: Option<&str>,
    password: Option<&SecretString>,
) -> Result<&'a SendKey, Problem> {
    let password = password.map(|password| password.expose_secret());
    match (bearer, password) {
        (Some(bearer), Some(password)) if bearer != password => Err(Problem::unauthorized()),
        _ => known(keys, bearer.or(password)),
    }
}

/// Counts a request of the key's owner.
///
/// # Errors
/// 429 for one too many.
pub(crate) fn within_limit(relay: &Relay, key: &SendKey) -> Result<(), Problem> {
    relay.limits.take(&key.name, relay.settings.send_rate, Instant::now()).map_err(|wait| {
        tracing::warn!(key = key.name, "too many requests");
        Problem::too_many(wait)
    })
}

/// Whether the key's owner may send this.
///
/// # Errors
/// 403, naming the field.
pub(crate) fn may_send(key: &SendKey, message: &Message) -> Result<(), Problem> {
    let source = message.source.as_str();
    let refuse = |field: &str, what: &str| Err(Problem::field(StatusCode::FORBIDDEN, field, what));
    if !key.may_use(source.strip_prefix("source.").unwrap_or(source)) {
        return refuse("source", "is not one that this key may use");
    }
    if message.priority.is_some_and(|priority| priority > Priority::Normal) && !key.urgent {
        return refuse("priority", "above normal is not for this key");
    }
    if message.rooms.is_some() && !key.rooms {
        return refuse("rooms", "may not be named by this key");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use lambda_http::http::HeaderValue;
    use talkback::message::Uid;
    use talkback::route::RoutingKey;
    use talkback::text::Text;

    use super::*;

    /// Of `secret` and of `other`.
    const HASHES: [&str; 2] = [
        "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b",
        "d9298a10d1b0735837dc4bd85dac641b0f3cef27a47e5d53a54f2f3f5b2fcffa",
    ];

    fn keys() -> Vec<SendKey> {
        let entries = [format!("web:{}", HASHES[0]), format!("ups:{}:ups.#:urgent:rooms", HASHES[1])];
        entries.iter().map(|entry| SendKey::parse(entry).unwrap()).collect()
    }

    fn header(values: &[&str]) -> HeaderMap {
        values.iter().map(|value| (header::AUTHORIZATION, HeaderValue::from_str(value).unwrap())).collect()
    }

    fn status<T>(result: Result<T, Problem>) -> Option<u16> {
        result.err().map(|problem| problem.into_response().status().as_u16())
    }

    #[test]
    fn a_key_comes_in_the_header_or_in_the_document() {
        let keys = keys();
        let password = |text: &str| Some(SecretString::from(text));
        let name = |bearer: Option<&str>, password: Option<SecretString>| {
            of_both(&keys, bearer, password.as_ref()).ok().map(|key| key.name.as_str())
        };
        assert_eq!(name(Some("secret"), None), Some("web"));
        assert_eq!(name(None, password("other")), Some("ups"));
        assert_eq!(name(Some("secret"), password("secret")), Some("web"));
        assert_eq!(name(Some("secret"), password("other")), None, "both right, but different");
        assert_eq!(name(Some("secret"), password("")), None);
        assert_eq!(name(Some(""), None), None);
        assert_eq!(name(None, None), None);
        assert_eq!(name(Some("wrong"), None), None);
    }

    #[test]
    fn an_empty_key_is_none_even_if_its_hash_is_configured() {
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        let keys = [SendKey::parse(&format!("web:{empty}")).unwrap()];
        assert_eq!(status(known(&keys, Some(""))), Some(401));
    }

    #[test]
    fn only_one_bearer_key_is_read_from_the_header() {
        assert_eq!(bearer(&header(&[])).unwrap(), None);
        assert_eq!(bearer(&header(&["Bearer secret"])).unwrap(), Some("secret"));
        assert_eq!(bearer(&header(&["bearer  secret "])).unwrap(), Some("secret"));
        for wrong in [&["Basic c2VjcmV0"][..], &["secret"], &["Bearer secret", "Bearer secret"], &[""]] {
            assert_eq!(status(bearer(&header(wrong))), Some(401), "{wrong:?}");
        }
    }

    #[test]
    fn a_key_may_ask_only_for_what_its_words_allow() {
        let keys = keys();
        let source = |name: &str| RoutingKey::parse(&format!("source.{name}")).unwrap();
        let plain = |name: &str| Message {
            uid: Uid::parse("7", &source(name)).unwrap(),
            source: source(name),
            sender: None,
            body: Text::clean("hello"),
            media: Vec::new(),
            priority: Some(Priority::Normal),
            rooms: None,
            expires_at: None,
            wants_ack_url: false,
        };
        let loud = |name| Message { priority: Some(Priority::High), ..plain(name) };
        let placed = |name| Message { rooms: Some(vec!["staff".to_owned()]), ..plain(name) };
        for message in [plain("standard"), plain("standard.weather")] {
            assert!(may_send(&keys[0], &message).is_ok());
        }
        for (message, field) in [
            (loud("standard"), "priority"),
            (placed("standard"), "rooms"),
            (plain("ups"), "source"),
            (plain("twilio.sms.incoming"), "source"),
        ] {
            let problem = may_send(&keys[0], &message).unwrap_err();
            assert!(format!("{problem:?}").contains(field));
            assert_eq!(problem.into_response().status(), 403);
        }
        for message in [plain("ups"), loud("ups"), placed("ups.onbattery")] {
            assert!(may_send(&keys[1], &message).is_ok());
        }
    }
}
