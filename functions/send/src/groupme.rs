//! `POST /v3/bots/post`, as GroupMe has it (<https://dev.groupme.com/docs/v3#bots_post>): whatever can post to GroupMe
//! becomes a source by changing one URL. Its bot id is a send key.
//!
//! The key decides the source ([`SendKey::own_source`](talkback::send_key::SendKey::own_source)) and the source's route
//! decides rooms, dress and priority: nothing of these can be said here. A text of any length is taken and split. An
//! `Idempotency-Key` makes a repeat a repeat; without one each post is a new message, as it is to GroupMe.
pub(crate) mod bot_post;
pub(crate) mod fields;

use lambda_http::http::StatusCode;
use lambda_http::{Body, Request, Response};
use secrecy::ExposeSecret as _;
use talkback::relay::Relay;
use talkback::send_key;

use crate::answer;
use crate::key::within_limit;
use crate::problem::Problem;
use crate::take_in::take_in;

use bot_post::BotPost;
use fields::Fields;

/// Whether what stands at this address answers as GroupMe does.
pub(crate) fn stands_at(path: &str) -> bool {
    path == "/v3" || path.starts_with("/v3/")
}

/// Takes a bot's post in: 202 without a word, also for a repeat, which is all that GroupMe says.
///
/// # Errors
/// Everything that is no 2xx. Of these 404 is GroupMe's answer to a bot id that it does not know (seen in reports of
/// its callers), and here the one answer to every one that is no key: wrong, empty, missing, no string.
pub(crate) async fn post(relay: &Relay, request: &Request) -> Result<Response<Body>, Problem> {
    let mut fields = Fields::open(request)?;
    let post = BotPost::take(&mut fields);
    let presented = post.bot_id.as_ref().map(|id| id.expose_secret()).filter(|id| !id.is_empty());
    let key = presented.and_then(|id| send_key::find(&relay.settings.send_keys, id));
    let key = key.ok_or_else(|| Problem::field(StatusCode::NOT_FOUND, "bot_id", "is not known"))?;
    within_limit(relay, key)?;
    let said = post.judge(&relay.settings.media.allow)?;
    let source = key.own_source().ok_or_else(|| {
        Problem::field(StatusCode::FORBIDDEN, "bot_id", "is a key that may use no source of messages from here")
    })?;
    let message = said.message(source, request.headers())?;
    take_in(relay, request, key, message, fields.raw()).await?;
    Ok(answer::empty(StatusCode::ACCEPTED))
}
