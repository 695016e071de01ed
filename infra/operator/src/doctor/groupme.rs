//! What GroupMe says of our bots: read only, with a member's token.
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use reqwest::{Client, StatusCode, Url};
use secrecy::ExposeSecret as _;
use serde_json::Value;
use talkback::config::{Room, Settings};

use super::Finding::{Ill, Unknown, Well};
use super::{Finding, Report, clock};

const PATIENCE: Duration = Duration::from_secs(10);

/// Asks for the bots (`GET /bots`), and looks at each room's: is it there, in its group, and does it call us back? `at` is
/// where callbacks should go, if that is known.
pub(super) async fn look(settings: &Settings, at: Option<&Url>, report: &mut Report) {
    let Some(token) = &settings.groupme.access_token else {
        let why = "GROUPME_ACCESS_TOKEN is not set: bots and callback URLs cannot be looked at";
        return report.note("groupme", Unknown(why.to_owned()));
    };
    let url = format!("{}/bots", settings.groupme.api_url);
    let asked = client().get(url).header("X-Access-Token", token.expose_secret()).send().await;
    let answer = match asked {
        Ok(answer) => answer,
        Err(error) => {
            let wrong = if error.is_timeout() { "no answer in time" } else { "cannot be reached" };
            let remedy =
                "is this machine online? is GROUPME_API_URL right? https://status.groupme.com may know".to_owned();
            return report.note("groupme", Ill(wrong.to_owned(), remedy));
        }
    };
    if let Some(ahead) = ahead(answer.headers().get("date")) {
        report.note("clock", clock("GroupMe", ahead));
    }
    match answer.status() {
        StatusCode::OK => {}
        StatusCode::UNAUTHORIZED => {
            let remedy = "make a new one at dev.groupme.com and set GROUPME_ACCESS_TOKEN".to_owned();
            return report.note("groupme", Ill("the token is not valid (401)".to_owned(), remedy));
        }
        status => {
            let remedy = "try again later; GroupMe answers so when it has trouble or was asked too often".to_owned();
            return report.note("groupme", Ill(format!("HTTP {}", status.as_u16()), remedy));
        }
    }
    let document: Value = answer.json().await.unwrap_or_default();
    let Some(bots) = document["response"].as_array() else {
        let remedy = "is GROUPME_API_URL GroupMe's?".to_owned();
        return report.note("groupme", Ill("its answer has no list of bots".to_owned(), remedy));
    };
    report.note("groupme", Well("the token is valid".to_owned()));
    for room in settings.rooms.iter().filter(|room| room.channel == "groupme") {
        report.note("bot", of_room(settings, room, bots, at));
    }
}

fn of_room(settings: &Settings, room: &Room, bots: &[Value], at: Option<&Url>) -> Finding {
    let name = &room.name;
    let Some(bot) = bots.iter().find(|bot| bot["bot_id"] == room.bot_id.expose_secret()) else {
        // Only its owner's token lists a bot.
        let remedy = "correct bot_id, or look with the token of the bot's owner".to_owned();
        return Ill(format!("{name}: the token's owner has no bot with this bot_id"), remedy);
    };
    if bot["group_id"] != room.group.as_str() {
        return Ill(format!("{name}: its bot is in another group"), "correct group, or bot_id".to_owned());
    }
    let remedy =
        "set it at dev.groupme.com/bots to https://YOUR-ADDRESS/groupme/callback/GROUPME_CALLBACK_TOKEN".to_owned();
    let Some(url) = bot["callback_url"].as_str().filter(|url| !url.is_empty()) else {
        return Ill(format!("{name}: its bot has no callback URL: no confirmations, no commands"), remedy);
    };
    let Ok(url) = Url::parse(url) else { return Ill(format!("{name}: its bot's callback URL is no address"), remedy) };
    let tokens = &settings.groupme.callback_tokens;
    let ours = url
        .path()
        .rsplit_once("/groupme/callback/")
        .is_some_and(|(_, token)| tokens.is_empty() || tokens.iter().any(|known| known.expose_secret() == token));
    if !ours {
        return Ill(
            format!("{name}: its bot's callback URL does not end in /groupme/callback/ and a token of ours"),
            remedy,
        );
    }
    // The path holds the token: only the host is said.
    let host = url.host_str().unwrap_or_default();
    match at {
        Some(at) if (at.host_str(), at.port_or_known_default()) != (url.host_str(), url.port_or_known_default()) => {
            Ill(format!("{name}: its bot calls back to {host}, and not to the address looked at"), remedy)
        }
        _ => Well(format!("{name}: its bot is in its group and calls back to {host}")),
    }
}

/// How far a `Date` header is ahead of our clock, in seconds.
pub(super) fn ahead(date: Option<&reqwest::header::HeaderValue>) -> Option<f64> {
    let told = jiff::fmt::rfc2822::parse(date?.to_str().ok()?).ok()?.timestamp().as_second();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?.as_secs_f64();
    // It is cut off to whole seconds.
    #[allow(clippy::cast_precision_loss)]
    Some(told as f64 + 0.5 - now)
}

/// A client that follows nothing and waits for nobody.
pub(super) fn client() -> Client {
    Client::builder()
        .tls_backend_preconfigured(talkback::tls::web_client())
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .timeout(PATIENCE)
        .build()
        .unwrap_or_default()
}
