//! Who may call, and what is a line.
use lambda_http::http::Method;
use lambda_http::{Body, Request, RequestExt as _, Response};
use secrecy::ExposeSecret as _;
use talkback::chat::Line;
use talkback::config::Settings;
use talkback::telemetry::metrics::REQUESTS_REFUSED;

/// The largest callback that is read.
const MAX_BODY: usize = 64 * 1024;

/// Why a callback is refused. Counted by minute and reason, not stored: an attacker must not be able to fill a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// No such address.
    WrongToken,
    /// Neither POST nor GET nor HEAD.
    WrongMethod,
    /// Over 64 KiB.
    TooLarge,
    /// No JSON, or without a group and an id.
    Malformed,
    /// A group that no room is in.
    ForeignGroup,
}

impl Refusal {
    /// The word that is counted and logged.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::WrongToken => "wrong_token",
            Self::WrongMethod => "wrong_method",
            Self::TooLarge => "too_large",
            Self::Malformed => "malformed",
            Self::ForeignGroup => "foreign_group",
        }
    }

    /// The HTTP status that says it.
    #[must_use]
    pub fn status(self) -> u16 {
        match self {
            Self::WrongToken => 404,
            Self::WrongMethod => 405,
            Self::TooLarge => 413,
            Self::Malformed => 400,
            Self::ForeignGroup => 403,
        }
    }
}

/// The answer to who is refused; counted and logged.
pub(crate) fn refuse(refusal: Refusal) -> Response<Body> {
    tracing::warn!(reason = refusal.as_str(), "callback refused");
    REQUESTS_REFUSED.increment(&["callback"]);
    answer(refusal.status())
}

/// The line of a callback; `None` for GET and HEAD with a right token (GroupMe asks whether the address answers).
///
/// # Errors
/// Who may not call, and what is no line of one of our groups.
pub fn open(settings: &Settings, request: &Request) -> Result<Option<Line>, Refusal> {
    if !has_token(settings, request.raw_http_path()) {
        return Err(Refusal::WrongToken);
    }
    match *request.method() {
        Method::GET | Method::HEAD => return Ok(None),
        Method::POST => {}
        _ => return Err(Refusal::WrongMethod),
    }
    let body: &[u8] = match request.body() {
        Body::Text(text) => text.as_bytes(),
        Body::Binary(bytes) => bytes,
        _ => &[],
    };
    if body.len() > MAX_BODY {
        return Err(Refusal::TooLarge);
    }
    let json = talkback::json::parse(body).map_err(|_| Refusal::Malformed)?;
    let line = Line::read(&json).ok_or(Refusal::Malformed)?;
    if settings.rooms.iter().any(|room| room.group == line.group()) {
        Ok(Some(line))
    } else {
        Err(Refusal::ForeignGroup)
    }
}

/// Compares with every valid token in constant time: which one it nearly was must not be told by the clock.
fn has_token(settings: &Settings, path: &str) -> bool {
    let presented = path.rsplit_once("/groupme/callback/").map_or("", |(_, token)| token);
    let tokens = &settings.groupme.callback_tokens;
    tokens.iter().fold(false, |found, token| {
        talkback::seal::same(presented.as_bytes(), token.expose_secret().as_bytes()) | found
    })
}

/// An answer that says nothing but its status.
pub(crate) fn answer(status: u16) -> Response<Body> {
    let mut response = Response::new(Body::Empty);
    *response.status_mut() = lambda_http::http::StatusCode::from_u16(status).unwrap_or_default();
    let headers = response.headers_mut();
    headers.insert("content-type", lambda_http::http::HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert("cache-control", lambda_http::http::HeaderValue::from_static("no-store"));
    if status == 405 {
        headers.insert("allow", lambda_http::http::HeaderValue::from_static("GET, HEAD, POST"));
    }
    response
}
