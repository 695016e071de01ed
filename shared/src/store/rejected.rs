//! What could not be read or stored, kept for a person to see; refused callbacks, counted.
use uuid::Uuid;

use super::Statement;
use super::connection::{Store, StoreError};

/// One row of `rejected`.
pub struct Rejection {
    /// Repeated by a redelivery, so that one bad record is one row.
    pub id: Uuid,
    /// `rabbitmq`, `http` or `dead`.
    pub door: &'static str,
    /// The routing key, as far as known.
    pub source: Option<String>,
    /// One word.
    pub reason: &'static str,
    /// Names the field; quotes nothing.
    pub detail: String,
    /// Sealed bytes as they came.
    pub raw_sealed: Vec<u8>,
}

const REJECT: &str = "
insert into rejected (id, door, source, reason, detail, raw_sealed)
select * from unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::bytea[])
on conflict do nothing";

const COUNT_REFUSAL: &str = "
insert into callback_refusals as r (minute, reason) values (date_trunc('minute', clock_timestamp()), $1)
on conflict (minute, reason) do update set count = r.count + 1";

pub(super) const STATEMENTS: &[Statement] = &[("reject", REJECT), ("count_refusal", COUNT_REFUSAL)];

impl Store {
    /// Keeps them, one row each; a repeat changes nothing.
    pub async fn reject(&self, rejections: &[Rejection]) -> Result<(), StoreError> {
        if rejections.is_empty() {
            return Ok(());
        }
        let ids: Vec<Uuid> = rejections.iter().map(|r| r.id).collect();
        let doors: Vec<&str> = rejections.iter().map(|r| r.door).collect();
        let sources: Vec<Option<&str>> = rejections.iter().map(|r| r.source.as_deref()).collect();
        let reasons: Vec<&str> = rejections.iter().map(|r| r.reason).collect();
        let details: Vec<&str> = rejections.iter().map(|r| r.detail.as_str()).collect();
        let raws: Vec<&[u8]> = rejections.iter().map(|r| r.raw_sealed.as_slice()).collect();
        self.rows(REJECT, &[&ids, &doors, &sources, &reasons, &details, &raws]).await.map(drop)
    }

    /// Counts a refused callback in its minute.
    pub async fn count_refusal(&self, reason: &str) -> Result<(), StoreError> {
        self.rows(COUNT_REFUSAL, &[&reason]).await.map(drop)
    }
}
