//! `!publish`: a message to the station's exchange.
use serde_json::Value;
use tokio::time::timeout;
use uuid::Uuid;

use super::words::after;
use super::{Asked, Command, Grade, Running, Said};
use crate::broker::{BrokerError, Props};
use crate::route::RoutingKey;
use crate::store::StoreError;

/// `!publish <routing.key> <text or JSON>`
pub const COMMAND: Command = Command {
    name: "publish",
    usage: "!publish <routing.key> <text or JSON>",
    purpose: "publishes that to the station's exchange, under the keys that `[chat] publish_keys` allows",
    grade: Grade::Publish,
    publishes: true,
    run,
};

/// The longest body, bytes.
const LONGEST: usize = 8 * 1024;

/// Keeps the ids of these messages apart: one that is published twice has the same.
const NAMESPACE: Uuid = Uuid::from_u128(0x5a3e_91c4_0b77_4d2f_a6b8_1f60_93ce_7d25);

fn run<'a>(asked: &'a Asked<'a>) -> Running<'a> {
    Box::pin(answer(asked))
}

async fn answer(asked: &Asked<'_>) -> Result<Said, StoreError> {
    let [key, _, ..] = asked.words else { return Ok(Said::usage(&COMMAND)) };
    let allowed = RoutingKey::parse(key).ok().filter(|key| asked.relay.settings.chat.may_publish(key));
    let Some(key) = allowed else {
        return Ok(refused("That key may not be published from the chat."));
    };
    let typed = after(asked.text, 2).trim_end();
    let json = typed.starts_with(['{', '[']).then(|| serde_json::from_str::<Value>(typed));
    let (body, kind) = match (json, asked.words) {
        (Some(Ok(_)), _) => (typed, "application/json"),
        // Many a text begins with a bracket, and none with a brace.
        (Some(Err(error)), _) if typed.starts_with('{') => {
            return Ok(Said { outcome: "usage", text: format!("That is no JSON at column {}.", error.column()) });
        }
        // One word, perhaps without its quotation marks; else as it was typed, with them.
        (_, [_, word]) => (word.as_str(), "text/plain"),
        _ => (typed, "text/plain"),
    };
    if body.len() > LONGEST {
        return Ok(refused("That is longer than 8 KB."));
    }
    Ok(match publish(asked, key.as_str(), body.as_bytes(), kind).await {
        Ok(()) => Said::done(format!("{} published to {}.", asked.author.name, key.as_str())),
        Err(said) => said,
    })
}

fn refused(text: &str) -> Said {
    Said { outcome: "refused", text: text.to_owned() }
}

fn failed(text: &str) -> Said {
    Said { outcome: "failed", text: text.to_owned() }
}

/// Publishes to the station's exchange, with a confirm; or what is answered where that did not work.
pub(super) async fn publish(asked: &Asked<'_>, key: &str, body: &[u8], content_type: &str) -> Result<(), Said> {
    let relay = asked.relay;
    let (Some(broker), Some(exchange)) = (&relay.broker, relay.settings.exchanges.first()) else {
        return Err(failed("There is no broker to publish to: AMQP_URL and [[exchanges]] name one."));
    };
    let props = Props {
        message_id: Some(Uuid::new_v5(&NAMESPACE, asked.name.as_bytes()).to_string()),
        content_type: Some(content_type.to_owned()),
        ..Props::default()
    };
    match timeout(asked.patience, broker.publish(&exchange.name, key, body, &props, true)).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(BrokerError::Unroutable)) => Err(failed("Nobody listens to that key: no queue takes it.")),
        Ok(Err(error)) => {
            tracing::warn!(error = &error as &dyn std::error::Error, "not published for the chat");
            Err(failed("The broker did not take it."))
        }
        Err(_) => Err(failed("The broker did not confirm it in time: it may have been published or not.")),
    }
}
