//! One event of `events/`: an AMQP message, an HTTP request, or what Lambda hands to a function; and sending it the way
//! that it would come.

use std::{fs, path::Path, time::Duration};

use anyhow::{Context, Result, bail};
use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::Value;

use super::fresh::{Fresh, short, text};
use crate::{http, publish};

/// Longer than a function may take that answers at once.
const PATIENCE: Duration = Duration::from_secs(60);

/// An event, ready to be sent.
pub(super) enum Event {
    /// Published to the broker.
    Amqp { exchange: String, key: String, headers: Vec<(String, String)>, body: Vec<u8> },
    /// Asked of the functions' URL.
    Http { method: String, path: String, headers: Vec<(String, String)>, body: String },
    /// Handed to a function.
    Invocation { function: &'static str, event: Value },
}

/// How it went.
pub(super) enum Outcome {
    /// It was taken; in these words.
    Taken(String),
    /// It was not.
    Refused(String),
}

impl Event {
    /// Reads and renews a file.
    pub(super) fn read(file: &Path, fresh: &mut Fresh) -> Result<Event> {
        let read = fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
        let mut event: Value = serde_json::from_str(&fresh.renew_text(&read)?)
            .with_context(|| format!("{} is no JSON", file.display()))?;
        if event.get("exchange").is_some() {
            // A body that is a text stands for exactly these bytes.
            fresh.renew_fields(&mut event)?;
            let body = match &event["body"] {
                Value::String(bytes) => bytes.clone(),
                body => body.to_string(),
            };
            let headers = pairs(&event["headers"]);
            Ok(Event::Amqp {
                exchange: word(&event, "exchange")?,
                key: word(&event, "key")?,
                headers,
                body: body.into_bytes(),
            })
        } else if event.get("requestContext").is_some() {
            let (path, query) = (word(&event, "rawPath")?, word(&event, "rawQueryString")?);
            let path = if query.is_empty() { path } else { format!("{path}?{query}") };
            let mut body = event["body"].as_str().unwrap_or_default().to_owned();
            if let Ok(document) = serde_json::from_str::<Value>(&body) {
                let mut renewed = document.clone();
                fresh.renew_fields(&mut renewed)?;
                // What is the same stays as it was spelled.
                body = if renewed == document { body } else { renewed.to_string() };
            }
            let method = event.pointer("/requestContext/http/method").and_then(Value::as_str).context("no method")?;
            // Those about the connection are ours, or API Gateway's.
            let ours = |name: &str| name == "host" || name == "content-length" || name.starts_with("x-forwarded");
            let headers = pairs(&event["headers"]).into_iter().filter(|(name, _)| !ours(&name.to_lowercase()));
            Ok(Event::Http { method: method.to_owned(), path, headers: headers.collect(), body })
        } else if event.get("rmqMessagesByQueue").is_some() {
            renew_data(&mut event, fresh)?;
            Ok(Event::Invocation { function: "rabbitmq-consumer", event })
        } else if event.get("detail-type").is_some() {
            Ok(Event::Invocation { function: "dispatcher", event })
        } else if event.get("topology").is_some() {
            Ok(Event::Invocation { function: "migrate", event })
        } else {
            bail!("{} is of no kind that is known here", file.display())
        }
    }

    /// Sends it.
    pub(super) fn send(&self, record: &Value) -> Result<Outcome> {
        let functions = text(record, "send_url")?.trim_end_matches("/send").to_owned();
        match self {
            Event::Amqp { exchange, key, headers, body } => {
                publish::publish(record, exchange, key, headers, body)?;
                let uid = told_uid(body).map_or(String::new(), |uid| format!("; its uid is {uid}"));
                Ok(Outcome::Taken(format!("published to {exchange} as {key}{uid}")))
            }
            Event::Http { method, path, headers, body } => {
                let headers: Vec<(&str, &str)> =
                    headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
                let answer = http::request(method, &format!("{functions}{path}"), &headers, body, PATIENCE)?;
                // The path of a callback ends in a secret.
                let place = if path.starts_with("/groupme/callback/") { "/groupme/callback" } else { path };
                let said = format!("{method} {place}: HTTP {} {}", answer.status, answer.body.trim());
                Ok(if (200..300).contains(&answer.status) { Outcome::Taken(said) } else { Outcome::Refused(said) })
            }
            // It stays for its minute, and nobody wants to wait for that.
            Event::Invocation { function: function @ "dispatcher", event } => {
                http::leave(&invocations(&functions, function), &event.to_string(), PATIENCE)?;
                Ok(Outcome::Taken("handed to dispatcher, which stays for its minute".to_owned()))
            }
            Event::Invocation { function, event } => {
                let answer = http::post(&invocations(&functions, function), &event.to_string(), PATIENCE)?;
                let said = format!("{function} answers {} {}", answer.status, answer.body.trim());
                let failed = answer.status != 200 || answer.body.contains("\"errorMessage\"");
                Ok(if failed { Outcome::Refused(said) } else { Outcome::Taken(said) })
            }
        }
    }
}

/// The uid that a payload tells of itself, as the room shows it.
fn told_uid(body: &[u8]) -> Option<String> {
    let payload: Value = serde_json::from_slice(body).ok()?;
    match payload.get("wbor_message_id").or_else(|| payload.get("uid"))? {
        Value::String(uid) => Some(short(uid).to_owned()),
        Value::Number(uid) => Some(uid.to_string()),
        _ => None,
    }
}

fn invocations(functions: &str, function: &str) -> String {
    format!("{functions}/2015-03-31/functions/{function}/invocations")
}

fn word(event: &Value, name: &str) -> Result<String> {
    event[name].as_str().map(str::to_owned).with_context(|| format!("the event has no {name}"))
}

/// The fields of an object, or of null.
fn pairs(fields: &Value) -> Vec<(String, String)> {
    let written = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    fields.as_object().into_iter().flatten().map(|(name, value)| (name.clone(), written(value))).collect()
}

/// Renews the payloads that Amazon MQ brings in base64.
fn renew_data(event: &mut Value, fresh: &mut Fresh) -> Result<()> {
    let queues = event["rmqMessagesByQueue"].as_object_mut().context("no queues")?;
    for message in queues.values_mut().filter_map(Value::as_array_mut).flatten() {
        let bytes = STANDARD.decode(message["data"].as_str().unwrap_or_default()).context("data is not base64")?;
        let mut renewed = fresh.renew_text(&String::from_utf8_lossy(&bytes))?;
        if let Ok(mut payload @ Value::Object(_)) = serde_json::from_str(&renewed) {
            fresh.renew_fields(&mut payload)?;
            renewed = payload.to_string();
        }
        message["basicProperties"]["bodySize"] = renewed.len().into();
        message["data"] = STANDARD.encode(renewed).into();
    }
    Ok(())
}
