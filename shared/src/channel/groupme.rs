//! GroupMe: bots post (<https://dev.groupme.com/tutorials/bots>), a member's token reads the room back
//! (<https://dev.groupme.com/docs/v3#messages>) and uploads pictures. The bot id is the secret: it is in the request and nowhere else.
use std::time::Duration;

use reqwest::header::CONTENT_TYPE;
use reqwest::{Client, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};

use super::{Answer, Call, Calling, Channel, ChannelError, Post, ReadBack, ReadLine, Refusal, Uploaded};
use crate::compose::Limits;
use crate::config::{self, Room, Settings};
use crate::guard::Guard;
use crate::picture::Picture;

mod upload;

/// Text of one post: 1,000 characters by GroupMe's page; whether that means code points or UTF-16 units is not said.
pub const LIMITS: Limits = Limits { post: 1000, cut: 900 };

/// How long a connection may idle and be used again; load balancers close theirs after a minute.
const IDLE: Duration = Duration::from_secs(10);

/// What is kept of an answer.
const MAX_RESPONSE: usize = 4096;

/// Pages of 100 lines that are read back at most.
const MAX_PAGES: usize = 5;

/// GroupMe's API.
pub struct GroupMe {
    client: Client,
    api_url: String,
    image_url: String,
    token: Option<SecretString>,
}

/// Makes the channel with a client of its own: after a thaw kept-alive connections are dead, so each dispatch has a
/// new one.
pub fn make(settings: &Settings) -> Result<Box<dyn Channel>, ChannelError> {
    Ok(Box::new(GroupMe::new(&settings.groupme, settings.lanes.http)?))
}

impl GroupMe {
    /// The same for who has no lanes: calls at these addresses, each of at most so long.
    ///
    /// # Errors
    /// A client that cannot be built.
    pub fn new(groupme: &config::GroupMe, http: Duration) -> Result<Self, ChannelError> {
        let client = Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            // Short of the total limit, so that a connection that never came counts as surely not posted.
            .connect_timeout(http / 2)
            // A server that closes a connection just when it is used leaves a post of unknown outcome.
            .pool_idle_timeout(IDLE)
            .user_agent(concat!("talkback/", env!("CARGO_PKG_VERSION")))
            .tls_backend_preconfigured(crate::tls::web_client())
            .build()
            .map_err(|_| ChannelError::Client)?;
        Ok(GroupMe {
            client,
            api_url: groupme.api_url.clone(),
            image_url: groupme.image_url.clone(),
            token: groupme.access_token.clone(),
        })
    }
}

impl Channel for GroupMe {
    fn name(&self) -> &'static str {
        "groupme"
    }

    fn post<'a>(&'a self, post: Post<'a>, limit: Duration, guard: Guard) -> Calling<'a, Call> {
        Box::pin(async move {
            let mut body = json!({ "text": post.text });
            if let Some(url) = post.picture_url {
                body["picture_url"] = json!(url);
            }
            let request = body.clone();
            let secret = post.room.bot_id.expose_secret();
            body["bot_id"] = json!(secret);
            let url = format!("{}/bots/post", self.api_url);
            let request_of = self.client.post(url).timeout(limit).header(CONTENT_TYPE, "application/json");
            let sent = request_of.body(guard.body(body.to_string().into_bytes())).send().await;
            let response = match sent {
                Ok(response) => response,
                Err(error) => {
                    // A refused connection, an unknown name, a failed handshake: no byte of the request went out.
                    let answer = match error {
                        _ if Guard::has_stopped(&error) => Answer::Late,
                        _ if error.is_connect() || error.is_builder() => Answer::Retry { after: None, limited: false },
                        _ => Answer::Unknown,
                    };
                    return Call { answer, status: None, request, response: None, error: Some(name_of(&error)) };
                }
            };
            let status = response.status();
            let after = retry_after(&response);
            let body = read_body(response).await;
            let (answer, code) = (classify(status, after, &body), status.as_u16());
            Call {
                answer,
                status: Some(code),
                request,
                response: kept(&body, secret),
                error: (answer != Answer::Posted).then(|| format!("HTTP {code}")),
            }
        })
    }

    fn read_back<'a>(&'a self, room: &'a Room, since: i64, limit: Duration) -> Calling<'a, ReadBack> {
        Box::pin(async move {
            let Some(token) = &self.token else {
                return ReadBack::Failed { status: None, error: "no member's token".to_owned() };
            };
            let read = self.read_pages(room, token, since);
            match tokio::time::timeout(limit, read).await {
                Ok(read) => read,
                Err(_) => ReadBack::Failed { status: None, error: "no answer in time".to_owned() },
            }
        })
    }

    fn upload<'a>(&'a self, picture: &'a Picture, limit: Duration) -> Calling<'a, Uploaded> {
        Box::pin(upload::upload(self, picture, limit))
    }
}

impl GroupMe {
    async fn read_pages(&self, room: &Room, token: &SecretString, since: i64) -> ReadBack {
        let mut lines: Vec<ReadLine> = Vec::new();
        let mut before: Option<String> = None;
        for _ in 0..MAX_PAGES {
            let url = format!("{}/groups/{}/messages", self.api_url, room.group);
            let mut query = vec![("limit", "100".to_owned())];
            query.extend(before.take().map(|id| ("before_id", id)));
            let url = match reqwest::Url::parse_with_params(&url, &query) {
                Ok(url) => url,
                Err(_) => return ReadBack::Failed { status: None, error: "the address is wrong".to_owned() },
            };
            let response = match self.client.get(url).header("X-Access-Token", token.expose_secret()).send().await {
                Ok(response) => response,
                Err(error) => return ReadBack::Failed { status: None, error: name_of(&error) },
            };
            let status = response.status();
            if status == StatusCode::NOT_MODIFIED {
                return ReadBack::Lines(lines);
            }
            if status != StatusCode::OK {
                return ReadBack::Failed { status: Some(status.as_u16()), error: format!("HTTP {}", status.as_u16()) };
            }
            let Ok(json) = response.json::<Value>().await else {
                return ReadBack::Failed { status: Some(200), error: "the answer is no JSON".to_owned() };
            };
            let Some(page) = json["response"]["messages"].as_array() else {
                return ReadBack::Failed { status: Some(200), error: "the answer lacks response.messages".to_owned() };
            };
            let old = page.iter().any(|line| line["created_at"].as_i64().is_some_and(|at| at < since));
            before = page.last().and_then(|line| line["id"].as_str()).map(str::to_owned);
            lines.extend(page.iter().map(|json| ReadLine { json: json.clone() }));
            if old || page.len() < 100 || before.is_none() {
                return ReadBack::Lines(lines);
            }
        }
        // More was said since than we read: that it is not among these proves nothing.
        ReadBack::Failed { status: Some(200), error: "too many lines since".to_owned() }
    }
}

/// What a status means; pure, so that every one can be tested.
#[must_use]
pub fn classify(status: StatusCode, after: Option<Duration>, body: &[u8]) -> Answer {
    if matches!(inner_code(body), Some(420 | 429)) {
        return Answer::Retry { after, limited: true };
    }
    match status.as_u16() {
        200..=299 => Answer::Posted,
        420 | 429 | 403 => Answer::Retry { after, limited: true },
        401 | 404 => Answer::Refuse { why: Refusal::Room },
        // The server says that it did not read the request, or sends us elsewhere: not posted.
        408 | 300..=399 => Answer::Retry { after, limited: false },
        400..=499 => Answer::Refuse { why: Refusal::Part },
        _ => Answer::Unknown,
    }
}

/// The code within GroupMe's envelope, which may be another than the status.
fn inner_code(body: &[u8]) -> Option<u64> {
    serde_json::from_slice::<Value>(body).ok()?["meta"]["code"].as_u64()
}

/// `Retry-After` in seconds (RFC 9110, 10.2.3); the date form is not worth a clock comparison with a provider.
fn retry_after(response: &reqwest::Response) -> Option<Duration> {
    let value = response.headers().get(reqwest::header::RETRY_AFTER)?.to_str().ok()?;
    value.trim().parse().ok().map(Duration::from_secs)
}

/// Reads what is worth keeping; a body that breaks off does not change what the status said.
async fn read_body(mut response: reqwest::Response) -> Vec<u8> {
    let mut body = Vec::new();
    while let Ok(Some(chunk)) = response.chunk().await {
        body.extend_from_slice(&chunk);
        if body.len() >= MAX_RESPONSE {
            break;
        }
    }
    body.truncate(MAX_RESPONSE);
    body
}

/// The answer as it is stored: without the secret, should it be repeated, and without U+0000, which jsonb refuses.
fn kept(body: &[u8], secret: &str) -> Option<Value> {
    if body.is_empty() {
        return None;
    }
    let mut text = String::from_utf8_lossy(body).replace('\0', "\u{fffd}").replace("\\u0000", "\\ufffd");
    if !secret.is_empty() {
        text = text.replace(secret, "***");
    }
    Some(serde_json::from_str(&text).unwrap_or(Value::String(text)))
}

/// What kind of failure it was. reqwest's own text quotes the URL.
fn name_of(error: &reqwest::Error) -> String {
    let kind = if error.is_timeout() && error.is_connect() {
        "no connection in time"
    } else if error.is_timeout() {
        "no answer in time"
    } else if error.is_connect() {
        "no connection"
    } else if error.is_decode() {
        "the answer cannot be decoded"
    } else {
        "the connection broke"
    };
    kind.to_owned()
}
