//! From outside: an address, and a key of its own for what is not for everybody.
use anyhow::{Context as _, Result};
use reqwest::{StatusCode, Url};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;
use talkback::config::Settings;

use super::Finding::{Ill, Unknown, Well};
use super::groupme::{ahead, client};
use super::{Report, age, clock, groupme, heard, ran};

/// A token that nobody has.
const NOBODYS: &str = "doctor-asks-whether-anybody-is-let-in";

pub(super) async fn look(url: &str, key: Option<SecretString>) -> Result<Report> {
    let base =
        Url::parse(url).ok().filter(|url| url.has_host()).context("--url: must be an address such as https://…")?;
    let at = |path: &str| format!("{}{path}", base.as_str().trim_end_matches('/'));
    let mut report = Report::default();
    let host = base.host_str().unwrap_or_default().trim_matches(['[', ']']);
    let here = host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback());
    let mut key = key;
    if base.scheme() != "https" && !here {
        let remedy =
            "put a reverse proxy with TLS before it: keys and texts go over this line; the key was not sent".to_owned();
        report.note("tls", Ill("this address is not https".to_owned(), remedy));
        key = None;
    }
    let mut ask = client().get(at("/health"));
    if let Some(key) = &key {
        ask = ask.bearer_auth(key.expose_secret());
    }
    let answer = match ask.send().await {
        Ok(answer) => answer,
        Err(error) => {
            let wrong =
                if error.is_timeout() { "no answer in time" } else { "cannot be reached (name, port, or certificate)" };
            let remedy = "is it deployed, and is this its address? `curl -v` tells more".to_owned();
            report.note("address", Ill(wrong.to_owned(), remedy));
            return Ok(report);
        }
    };
    if let Some(ahead) = ahead(answer.headers().get("date")) {
        report.note("clock", clock("the server", ahead));
    }
    let status = answer.status();
    let health: Value = answer.json().await.unwrap_or_default();
    report.note(
        "health",
        match (status, health["status"].as_str()) {
            (StatusCode::OK, Some("ok")) => Well("a message sent now would be stored".to_owned()),
            (_, Some(_)) => Ill(
                format!("HTTP {}: a message sent now would not be stored", status.as_u16()),
                "the database is away, not migrated, or there are no send keys: with a key this tells which".to_owned(),
            ),
            _ => Ill(
                format!("HTTP {}: this is no answer of Talkback's", status.as_u16()),
                "is this the address of the API itself, without a path behind it?".to_owned(),
            ),
        },
    );
    inside(&health, key.is_some(), &mut report);
    let refused = client().get(at(&format!("/groupme/callback/{NOBODYS}"))).send().await;
    report.note(
        "callback",
        match refused.map(|answer| answer.status()) {
            Ok(StatusCode::NOT_FOUND) => Well("answers, and lets nobody in without the token".to_owned()),
            Ok(status) => Ill(
                format!("HTTP {} for a wrong token, and not 404", status.as_u16()),
                "the route POST /groupme/callback/{token} must lead to the function groupme-callback".to_owned(),
            ),
            Err(_) => Ill("no answer".to_owned(), "is the function groupme-callback deployed?".to_owned()),
        },
    );
    // With the settings at hand the bots can be looked at, too.
    match Settings::from_env() {
        Ok(settings) => groupme::look(&settings, Some(&base), &mut report).await,
        Err(_) => report
            .note("groupme", Unknown("the settings are not in this environment: bots are not looked at".to_owned())),
    }
    Ok(report)
}

/// What is told to who has a key.
fn inside(health: &Value, asked: bool, report: &mut Report) {
    if !asked {
        return report.note("inside", Unknown("no key was given (TALKBACK_KEY), or none sent".to_owned()));
    }
    if health["database"].is_null() {
        let remedy = "`cargo xtask key NAME` makes one; its hash must be in TALKBACK_SEND_KEYS there".to_owned();
        return report.note("inside", Ill("the key is not known there".to_owned(), remedy));
    }
    let reason = |part: &Value| part["reason"].as_str().unwrap_or("unknown").to_owned();
    for part in ["database", "broker"] {
        let of = &health[part];
        report.note(
            part,
            match of["status"].as_str().or(of.as_str()) {
                Some("ok") if of["migration"].as_i64() < of["wanted"].as_i64() => Ill(
                    format!("migrated to V{} where this version has V{}", of["migration"], of["wanted"]),
                    "migrate: invoke the function `migrate`, or run `talkback-host migrate`".to_owned(),
                ),
                Some("ok") if of["dead"].as_u64().is_some_and(|dead| dead > 0) => Ill(
                    format!("{} dead letters", of["dead"]),
                    "the dispatcher tries each again and keeps what fails in the table `rejected`: see its log"
                        .to_owned(),
                ),
                Some("ok") => Well("answers".to_owned()),
                Some("not configured") => Unknown("not configured".to_owned()),
                _ => Ill(reason(of), format!("see the log of the function `send`, and the {part} itself")),
            },
        );
    }
    for room in health["rooms"].as_array().into_iter().flatten() {
        let name = room["room"].as_str().unwrap_or_default();
        report.note("callbacks", heard(name, room["last_callback_s"].as_f64()));
        let (waits, oldest) =
            (room["queued"].as_i64().unwrap_or_default(), room["oldest_s"].as_f64().unwrap_or_default());
        report.note(
            "room",
            match room["state"].as_str() {
                Some("open") if oldest > 300.0 => Ill(
                    format!("{name}: {waits} wait, the oldest for {}", age(oldest)),
                    "is the dispatcher at work (below)? what does GroupMe answer (!status, the log)?".to_owned(),
                ),
                Some("open") => Well(format!("{name}: open, {waits} wait")),
                _ => Ill(
                    format!("{name}: {}", reason(room)),
                    "correct its bot, and `cargo xtask resume ROOM`".to_owned(),
                ),
            },
        );
    }
    report.note("dispatcher", ran("dispatcher", health["functions"]["dispatcher"]["last_ran_s"].as_f64()));
}
