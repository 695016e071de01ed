//! Records of calls that were made elsewhere: by producers, or by our own functions while the database was away.
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use uuid::Uuid;

use super::Relay;
use super::direct::Told;
use crate::chat::Line;
use crate::message::{Record, RecordKind};
use crate::route::Action;
use crate::store::StoreError;

/// A producer's record, as the statement takes it and as it came.
pub(super) struct Settled {
    pub(super) record: Value,
    pub(super) id: Uuid,
    pub(super) source: String,
    pub(super) raw: Vec<u8>,
}

impl Relay {
    /// Records what was posted without the database.
    pub(super) async fn settle_told(&self, told: &[Told]) -> Result<(), StoreError> {
        let raw = |told: &Told| told.body().to_string().into_bytes();
        let records: Vec<Settled> = told.iter().flat_map(|told| settled_of(told, told.id(), &raw(told))).collect();
        self.settle(&records.iter().collect::<Vec<_>>()).await.map(drop)
    }

    /// Settles what producers recorded. A batch that the database refuses is halved until the bad one is alone, and
    /// that one is kept. Returns how many were.
    pub(super) async fn settle(&self, records: &[&Settled]) -> Result<usize, StoreError> {
        let mark = Uuid::new_v4().to_string();
        let mut refused = 0;
        let mut waiting = vec![records];
        while let Some(part) = waiting.pop().filter(|part| !part.is_empty()) {
            let batch = Value::Array(part.iter().map(|settled| settled.record.clone()).collect());
            let stored = match self.store.settle(&batch, &mark).await {
                // Idempotent: a doubtful one is asked again on a new connection.
                Err(StoreError::Unavailable(_)) => {
                    self.store.forget_connections();
                    self.store.settle(&batch, &mark).await
                }
                other => other,
            };
            match (stored, part) {
                (Ok(()), _) => {}
                (Err(error), [alone]) if error.is_bad_input() => {
                    refused += 1;
                    let (id, reason) = (alone.id.as_bytes(), "refused_by_database");
                    self.reject(id, "rabbitmq", Some(&alone.source), reason, error.to_string(), &alone.raw).await?;
                }
                (Err(error), _) if error.is_bad_input() => {
                    let (left, right) = part.split_at(part.len() / 2);
                    waiting.extend([right, left]);
                }
                (Err(error), _) => return Err(error),
            }
        }
        Ok(refused)
    }

    /// A record as the statement takes it. Whether the post succeeded decides whether it settles its room.
    pub(super) fn settlement(&self, record: &Record, record_key: Uuid, raw: &[u8]) -> Value {
        let posted = record.kind == RecordKind::Post && record.status.is_none_or(|s| (200..300).contains(&s));
        let room = self.room_of(record);
        let line = (record.kind == RecordKind::Callback).then(|| self.line_of(raw)).flatten();
        let (operation, text) = match record.kind {
            RecordKind::Post => ("post", record.text.as_deref()),
            RecordKind::Upload => ("upload", None),
            // What a member said belongs to the sealed line.
            RecordKind::Callback => ("callback", None),
        };
        json!({
            "uid": record.uid.key(), "given_uid": record.uid.given(), "short_uid": record.uid.short(),
            "source": record.source.as_str(), "text": text, "room": room, "settles": posted, "operation": operation,
            "status": record.status,
            "request": { "text": text, "picture_url": record.picture_url.as_deref().map(|u| u.replace('\0', "\u{fffd}")) },
            "record_key": record_key.to_string(), "line": line,
        })
    }

    /// The room that a record is about: its bot's; without a bot, the one its source goes to, if there is just one.
    fn room_of(&self, record: &Record) -> Option<String> {
        if let Some(bot) = &record.bot_id {
            let same = |known: &str| crate::seal::same(known.as_bytes(), bot.expose_secret().as_bytes());
            return self.settings.rooms.iter().find(|r| same(r.bot_id.expose_secret())).map(|r| r.name.clone());
        }
        let routed = self.settings.routes.find(&record.source).filter(|route| route.action == Action::Post);
        match routed.map(|route| route.rooms.as_slice()) {
            Some([room]) => Some(room.clone()),
            _ if self.settings.rooms.len() == 1 => self.settings.rooms.first().map(|r| r.name.clone()),
            _ => None,
        }
    }

    fn line_of(&self, raw: &[u8]) -> Option<Value> {
        let line = Line::read(&crate::json::parse(raw).ok()?)?;
        let sealed = self.sealed("groupme_callbacks", "payload_sealed", line.id(), &self.strike_out(raw));
        Some(json!({
            "group_id": line.group(), "line_id": line.id(), "sender_type": line.sender_type(),
            "text_length": line.text_length(), "payload_sealed": STANDARD.encode(sealed),
        }))
    }
}

/// What was posted without the database, as the statement takes it.
pub(super) fn settled_of(told: &Told, id: Uuid, raw: &[u8]) -> Vec<Settled> {
    let settled = |record| Settled { record, id, source: "source.groupme.msg".to_owned(), raw: raw.to_vec() };
    told.rows().into_iter().map(settled).collect()
}
