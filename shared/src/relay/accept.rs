//! Accept: the yes of every door. When it has returned `Ok`, each message is in Postgres with a verdict.
use std::borrow::Borrow;
use std::collections::{BTreeSet, HashMap};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::digest::{SHA256, digest};
use serde_json::{Value, json};
use uuid::Uuid;

use super::Relay;
use super::plan::{Door, Offer, Plan, PlannedDelivery, plan};
use super::private::is_private;
use crate::compose::Draft;
use crate::delivery::Verdict;
use crate::message::{Sender, Uid};
use crate::store::StoreError;
use crate::store::bans::lock;
use crate::store::rejected::Rejection;
use crate::telemetry::metrics;

/// What became of one offer.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Its uid.
    pub uid: Uid,
    /// What was decided.
    pub verdict: Verdict,
    /// Why; `uid_reused` where the uid stands for another content.
    pub reason: Option<&'static str>,
    /// Rooms and numbers of parts, where this offer planned them.
    pub deliveries: Vec<(String, usize)>,
}

impl Outcome {
    /// It stands in `rejected`, and in `messages` there is no row of it.
    #[must_use]
    pub(super) fn is_kept_aside(&self) -> bool {
        matches!(self.reason, Some("uid_reused" | "refused_by_database"))
    }

    /// The uid is taken by another content or another sender.
    #[must_use]
    pub fn is_conflict(&self) -> bool {
        self.reason == Some("uid_reused")
    }
}

/// Messages in one statement: as many as a mapping may bring at most, so that a batch is two round trips.
const CHUNK: usize = 10_000;

/// What a line in the room is matched by: SHA-256 of the text without white space at its ends, or of the picture's URL.
#[must_use]
pub fn fingerprint(text: &str, picture_url: Option<&str>) -> Vec<u8> {
    let text = text.trim();
    let shown = if text.is_empty() { picture_url.unwrap_or("") } else { text };
    digest(&SHA256, shown.as_bytes()).as_ref().to_vec()
}

struct Entry {
    index: usize,
    plan: Plan,
    hash: Vec<u8>,
    json: Value,
    sender: Option<i32>,
}

impl Relay {
    /// Stores a batch with its planned deliveries; idempotent. The answer is in the order of the offers.
    ///
    /// # Errors
    /// The database is unavailable, also when asked again: nothing is known to be stored.
    pub async fn accept<O: Borrow<Offer> + Sync>(&self, offers: &[O]) -> Result<Vec<Outcome>, StoreError> {
        let offers: &[&Offer] = &offers.iter().map(Borrow::borrow).collect::<Vec<_>>();
        let mut outcomes: Vec<Option<Outcome>> = vec![None; offers.len()];
        let mut entries: Vec<Entry> = Vec::with_capacity(offers.len());
        let mut first: HashMap<String, usize> = HashMap::new();
        let mut repeats: Vec<(usize, usize, bool)> = Vec::new();
        for (index, offer) in offers.iter().enumerate() {
            let plan = plan(offer, &self.settings);
            let hash = self.settings.lookup.hash("content", &offer.message.content());
            // A uid may stand in a statement once: repeats in a batch are judged here.
            if let Some(&earlier) = first.get(offer.message.uid.key()) {
                let entry = &mut entries[earlier];
                let foreign = offer.door == Door::Http && offers[entry.index].sent_by != offer.sent_by;
                let same = entry.hash == hash && !foreign;
                if same && plan.answer && !entry.plan.answer {
                    entry.json = self.entry(offer, &plan, &hash);
                    entry.plan = plan;
                }
                repeats.push((index, entry.index, same));
                continue;
            }
            first.insert(offer.message.uid.key().to_owned(), entries.len());
            let json = self.entry(offer, &plan, &hash);
            let sender = offer.message.sender.as_ref().map(|sender| lock(&self.sender_hash(sender)));
            entries.push(Entry { index, plan, hash, json, sender });
        }
        let mark = Uuid::new_v4().to_string();
        for chunk in entries.chunks(CHUNK) {
            self.store_chunk(chunk, offers, &mark, &mut outcomes).await?;
        }
        for (index, original, same) in repeats {
            let earlier = outcomes[original].clone();
            let uid = offers[index].message.uid.clone();
            outcomes[index] = Some(match earlier {
                Some(o) if same && o.verdict != Verdict::Rejected => duplicate(uid),
                Some(o) if same => o,
                _ => conflict(uid),
            });
        }
        let outcomes: Vec<Outcome> = outcomes.into_iter().flatten().collect();
        for (offer, outcome) in offers.iter().zip(&outcomes) {
            let route = offer.route.as_ref().or_else(|| self.settings.routes.find(&offer.message.source));
            let source = route.map_or_else(|| "none".to_owned(), |route| route.pattern.to_string());
            metrics::MESSAGES.increment(&[&source, outcome.verdict.as_str()]);
        }
        self.keep_conflicts(offers, &outcomes).await?;
        Ok(outcomes)
    }

    /// Stores a chunk; where the database refuses something in it, halves until the bad one is alone, and keeps that
    /// one in `rejected`.
    async fn store_chunk(
        &self,
        chunk: &[Entry],
        offers: &[&Offer],
        mark: &str,
        outcomes: &mut [Option<Outcome>],
    ) -> Result<(), StoreError> {
        let mut waiting: Vec<&[Entry]> = vec![chunk];
        while let Some(part) = waiting.pop() {
            let batch = Value::Array(part.iter().map(|e| e.json.clone()).collect());
            let senders: BTreeSet<i32> = part.iter().filter_map(|entry| entry.sender).collect();
            let senders: Vec<i32> = senders.into_iter().collect();
            let stored = match self.store.accept(&batch, &senders, mark).await {
                // Down is not failed: it may have committed. Asked again on a new connection, with the same mark.
                Err(StoreError::Unavailable(_)) => {
                    self.store.forget_connections();
                    self.store.accept(&batch, &senders, mark).await
                }
                other => other,
            };
            match stored {
                Ok(rows) => {
                    for (entry, row) in part.iter().zip(rows) {
                        let offer = offers[entry.index];
                        let foreign = offer.door == Door::Http && row.sent_by != offer.sent_by;
                        outcomes[entry.index] = Some(if row.planned && row.banned {
                            banned(offer.message.uid.clone())
                        } else if row.planned {
                            planned(offer.message.uid.clone(), &entry.plan)
                        } else if row.same && !foreign {
                            duplicate(offer.message.uid.clone())
                        } else {
                            conflict(offer.message.uid.clone())
                        });
                    }
                }
                Err(error) if error.is_bad_input() && part.len() > 1 => {
                    let (left, right) = part.split_at(part.len() / 2);
                    waiting.extend([right, left]);
                }
                Err(error) if error.is_bad_input() => {
                    let entry = &part[0];
                    let offer = offers[entry.index];
                    self.keep(offer, "refused_by_database", error.to_string()).await?;
                    outcomes[entry.index] = Some(Outcome {
                        uid: offer.message.uid.clone(),
                        verdict: Verdict::Rejected,
                        reason: Some("refused_by_database"),
                        deliveries: Vec::new(),
                    });
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Over RabbitMQ nobody is there to be told of a reused uid: it is kept.
    async fn keep_conflicts(&self, offers: &[&Offer], outcomes: &[Outcome]) -> Result<(), StoreError> {
        for (offer, _) in offers.iter().zip(outcomes).filter(|(o, out)| o.door == Door::RabbitMq && out.is_conflict()) {
            self.keep(offer, "uid_reused", "uid: stands for another content already".to_owned()).await?;
        }
        Ok(())
    }

    pub(super) async fn keep(&self, offer: &Offer, reason: &'static str, detail: String) -> Result<(), StoreError> {
        let raw = if offer.raw.is_empty() { offer.message.content() } else { offer.raw.clone() };
        let source = offer.message.source.as_str();
        let name = [source.as_bytes(), offer.message.uid.key().as_bytes(), &raw].concat();
        self.reject(&name, offer.door.as_str(), Some(source), reason, detail, &raw).await
    }

    /// Keeps one input that could not be taken, sealed, without the secrets we know; `name` is the same when it comes
    /// again.
    pub(crate) async fn reject(
        &self,
        name: &[u8],
        door: &'static str,
        source: Option<&str>,
        reason: &'static str,
        detail: String,
        raw: &[u8],
    ) -> Result<(), StoreError> {
        let id = Uuid::new_v5(&Uuid::NAMESPACE_OID, name);
        tracing::warn!(reason, source, "input rejected");
        metrics::REJECTED.increment(&[reason]);
        let raw = self.strike_out(raw);
        let raw_sealed = self.sealed("rejected", "raw_sealed", &id.to_string(), &raw);
        let source = source.map(|s| s.replace('\0', "\u{fffd}"));
        self.store.reject(&[Rejection { id, door, source, reason, detail, raw_sealed }]).await
    }

    /// By which messages and bans of one sender are found.
    pub(crate) fn sender_hash(&self, sender: &Sender) -> Vec<u8> {
        self.settings.lookup.hash("sender", sender.address.as_bytes())
    }

    /// One message as the statement takes it.
    fn entry(&self, offer: &Offer, plan: &Plan, hash: &[u8]) -> Value {
        let message = &offer.message;
        let row = message.uid.key();
        let seal = |column: &'static str, plain: &[u8]| STANDARD.encode(self.sealed("messages", column, row, plain));
        let (reply_to, correlation_id) =
            offer.reply.as_ref().map_or((None, None), |r| (Some(&r.queue), Some(&r.correlation_id)));
        let private = is_private(offer);
        let shown = plan.verdict == Verdict::Accepted && !private;
        let parts = |delivery: &PlannedDelivery| -> Vec<Value> {
            let drafts = delivery.parts.iter().zip(1..);
            drafts
                .map(|(draft, n)| if private { self.private_part(row, &delivery.room, n, draft) } else { part(draft) })
                .collect()
        };
        let deliveries: Vec<Value> = plan
            .deliveries
            .iter()
            .map(|d| {
                json!({
                    "room": d.room, "prio": plan.priority.rank(), "state": "queued", "age": plan.age.as_secs_f64(),
                    "expires_at": plan.expires_at.map(|t| t.to_string()),
                    "deliver_by": plan.deliver_by.map(|t| t.to_string()),
                    "parts": parts(d), "awaits_media": d.awaits_media,
                })
            })
            .collect();
        json!({
            "uid": row, "given_uid": message.uid.given(), "short_uid": message.uid.short(),
            "source": message.source.as_str(), "door": offer.door.as_str(), "sent_by": offer.sent_by,
            "verdict": plan.verdict.as_str(), "verdict_reason": plan.reason, "priority": plan.priority.rank(),
            "sender_hash": message.sender.as_ref()
                .map(|sender| STANDARD.encode(self.sender_hash(sender))),
            "sender_sealed": message.sender.as_ref()
                .map(|s| seal("sender_sealed", json!(s).to_string().as_bytes())),
            "body": shown.then(|| message.body.as_str()),
            // Its sender may be banned: the statement decides.
            "body_sealed": (!shown || message.sender.is_some())
                .then(|| seal("body_sealed", message.body.as_str().as_bytes())),
            "media_sealed": (!message.media.is_empty())
                .then(|| seal("media_sealed", json!(message.media).to_string().as_bytes())),
            "content_hash": STANDARD.encode(hash),
            "reply_to": reply_to, "correlation_id": correlation_id, "ack_url": message.wants_ack_url,
            "answer": plan.answer.then_some("due"),
            "deliveries": deliveries,
        })
    }
}

/// A part as the statements take it.
pub(super) fn part(draft: &Draft) -> Value {
    json!({
        "kind": draft.kind.as_str(), "text": draft.text, "picture_url": draft.picture_url,
        "fingerprint": STANDARD.encode(fingerprint(&draft.text, draft.picture_url.as_deref())),
    })
}

fn planned(uid: Uid, plan: &Plan) -> Outcome {
    let deliveries = plan.deliveries.iter().map(|d| (d.room.clone(), d.parts.len())).collect();
    Outcome { uid, verdict: plan.verdict, reason: plan.reason, deliveries }
}

fn banned(uid: Uid) -> Outcome {
    Outcome { uid, verdict: Verdict::Banned, reason: Some("sender"), deliveries: Vec::new() }
}

fn duplicate(uid: Uid) -> Outcome {
    Outcome { uid, verdict: Verdict::Duplicate, reason: None, deliveries: Vec::new() }
}

fn conflict(uid: Uid) -> Outcome {
    Outcome { uid, verdict: Verdict::Rejected, reason: Some("uid_reused"), deliveries: Vec::new() }
}
