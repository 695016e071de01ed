//! `POST /v3/bots/post`: the bot speaks. Whatever facts do not promise is refused and complained of.

use std::{sync::Arc, time::Instant};

use axum::{
    body::Bytes,
    extract::{ConnectInfo, State, rejection::BytesRejection},
    http::{HeaderMap, StatusCode, Uri},
    response::{IntoResponse, Response},
};
use serde::Deserialize;

use super::{answer, content_type, error, picture_name};
use crate::{
    config::Bot,
    fault::Endpoint,
    line::SenderType,
    post::Post,
    socket::Reset,
    world::{Saying, World},
};

/// The longest text, in code points and in UTF-16 units.
const LONGEST: usize = 1000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PostBody {
    bot_id: String,
    #[serde(default)]
    text: Option<String>,
    #[serde(default)]
    picture_url: Option<String>,
    #[serde(default)]
    attachments: Vec<Attachment>,
}

/// Only the safe form of a picture.
#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
enum Attachment {
    Image { url: String },
}

/// Why a post is refused: the status, and what is wrong without a word of the text.
struct Refusal(StatusCode, String);

pub(super) async fn post(
    State(world): State<Arc<World>>,
    ConnectInfo(reset): ConnectInfo<Reset>,
    uri: Uri,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let read = read(&uri, &headers, body);
    let mut arrived = Post {
        at: Instant::now(),
        bot_id: None,
        text: None,
        picture_url: None,
        answer: None,
        shown: false,
        line_id: None,
    };
    if let Ok(body) = &read {
        arrived.bot_id = Some(body.bot_id.clone());
        arrived.text = body.text.clone();
        arrived.picture_url = body.picture().map(str::to_owned);
    }
    let in_air = InAir { number: world.begin_post(arrived), world };
    let judged = read.and_then(|body| {
        let bot = judge(&in_air.world, &body)?;
        Ok((bot, body))
    });
    match judged {
        Ok((bot, body)) => speak(&in_air, &reset, bot, body).await,
        Err(Refusal(status, why)) => {
            in_air.world.refuse_post(in_air.number, format!("POST /v3/bots/post: {why}"));
            in_air.answered(error(status, &why))
        }
    }
}

async fn speak(in_air: &InAir, reset: &Reset, bot: Bot, body: PostBody) -> Response {
    let text = body.text.clone().unwrap_or_default();
    let fault = in_air.world.take_fault(Endpoint::Post, Some(&bot.bot_id), &text);
    if fault.as_ref().is_none_or(|fault| fault.shows()) {
        let saying = Saying {
            sender_id: public_id(&bot),
            group_id: bot.group_id,
            sender_type: SenderType::Bot,
            name: bot.name,
            text: Some(text),
            picture_url: body.picture().map(str::to_owned),
            bot_id: Some(bot.bot_id),
            event: None,
        };
        in_air.world.show_post(in_air.number, saying);
    }
    in_air.world.judge_post(in_air.number, fault.as_ref());
    let cut = fault.as_ref().is_some_and(|fault| fault.resets());
    let response = answer(fault, reset, StatusCode::ACCEPTED.into_response()).await;
    // An answer that a reset takes the place of was never given.
    if cut { response } else { in_air.answered(response) }
}

/// A post between its arrival and its answer; a caller that hangs up drops it.
struct InAir {
    world: Arc<World>,
    number: usize,
}

impl InAir {
    fn answered(&self, response: Response) -> Response {
        self.world.end_post(self.number, response.status().as_u16());
        response
    }
}

impl Drop for InAir {
    fn drop(&mut self) {
        self.world.hung_up(self.number);
    }
}

impl PostBody {
    fn picture(&self) -> Option<&str> {
        self.picture_url.as_deref().or_else(|| self.attachments.first().map(|Attachment::Image { url }| url.as_str()))
    }
}

/// The request as a post, or what cannot be read about it.
fn read(uri: &Uri, headers: &HeaderMap, body: Result<Bytes, BytesRejection>) -> Result<PostBody, Refusal> {
    let bad = |why: String| Refusal(StatusCode::BAD_REQUEST, why);
    let body =
        body.map_err(|rejection| Refusal(rejection.status(), "the body is too long or breaks off".to_owned()))?;
    if uri.query().is_some() {
        return Err(bad("a query where none belongs".to_owned()));
    }
    match content_type(headers).as_str() {
        "application/json" => {}
        "" => return Err(bad("no content type".to_owned())),
        _ => return Err(bad("the content type is not application/json".to_owned())),
    }
    // serde_json's own words may quote the text.
    serde_json::from_slice(&body).map_err(|error| {
        let why = error.to_string();
        let unknown = why.strip_prefix("unknown field `").and_then(|rest| rest.split('`').next());
        let missing = why.strip_prefix("missing field `").and_then(|rest| rest.split('`').next());
        bad(match (unknown, missing) {
            (Some(field), _) => format!("unknown field {field}"),
            (_, Some(field)) => format!("missing field {field}"),
            _ => format!("unreadable JSON at column {}", error.column()),
        })
    })
}

/// The bot that may post this, or why not.
fn judge(world: &World, body: &PostBody) -> Result<Bot, Refusal> {
    let bad = |why: String| Err(Refusal(StatusCode::BAD_REQUEST, why));
    let Some(bot) = world.bot(&body.bot_id) else {
        return Err(Refusal(StatusCode::NOT_FOUND, "unknown bot_id".to_owned()));
    };
    let text = body.text.as_deref().unwrap_or_default();
    let (code_points, utf16) = (text.chars().count(), text.encode_utf16().count());
    if code_points > LONGEST {
        return bad(format!("the text has {code_points} code points"));
    }
    if utf16 > LONGEST {
        return bad(format!("the text has {utf16} UTF-16 units"));
    }
    if body.attachments.len() > 1 || (body.picture_url.is_some() && !body.attachments.is_empty()) {
        return bad("more than one picture".to_owned());
    }
    match body.picture() {
        None if text.trim().is_empty() => return bad("neither text nor picture".to_owned()),
        Some(url) if picture_name(url).is_none() => return bad("the picture is not on i.groupme.com".to_owned()),
        _ => {}
    }
    Ok(bot)
}

/// A number in the place of the secret, the same in every run (FNV-1a).
fn public_id(bot: &Bot) -> String {
    let hash = bot
        .bot_id
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
    (800_000 + hash % 100_000).to_string()
}
