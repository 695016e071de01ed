//! The lane protocol: take, claim, record, release. Touches `lanes`; nothing else does.
mod params;
pub(super) mod statements;

use std::time::Duration;

use jiff::Timestamp;
use tokio_postgres::Row;

use self::params::{Facts, Param, Wanted};
use self::statements::{CLAIM, DISOWN, POSTPONE, RECORD, RELEASE, TAKE};
use super::connection::{Lent, Store, StoreError};
use crate::config::Lanes;

/// How a call ended, in the word that is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The provider took it.
    Posted,
    /// Surely not posted; try again later.
    Retry,
    /// Surely not posted: too fast.
    Limited,
    /// This part will never be taken.
    Refused,
    /// The room's address or token is wrong.
    Suspended,
    /// It may have happened.
    Unknown,
}

impl Outcome {
    const ALL: [Self; 6] = [Self::Posted, Self::Retry, Self::Limited, Self::Refused, Self::Suspended, Self::Unknown];

    /// The outcome of this word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|outcome| outcome.as_str() == word)
    }

    /// As stored and logged.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Posted => "posted",
            Self::Retry => "retry",
            Self::Limited => "limited",
            Self::Refused => "refused",
            Self::Suspended => "suspended",
            Self::Unknown => "unknown",
        }
    }
}

/// A part that the holder has claimed.
#[derive(Clone)]
pub struct Claimed {
    /// The room.
    pub room: String,
    /// The delivery's id.
    pub delivery: i64,
    /// The message's identity.
    pub uid: String,
    /// The part's number, from 1.
    pub part: i16,
    /// The attempt's number, from 1.
    pub attempt: i32,
    /// What to say; empty where it is sealed.
    pub text: String,
    /// What to say that only the room may read.
    pub text_sealed: Option<Vec<u8>>,
    /// The picture to show.
    pub picture_url: Option<String>,
    /// When this attempt was claimed, on the database's clock.
    pub claimed_at: Timestamp,
    /// Calls in a row in this room that did not succeed.
    pub failures: i32,
    /// Time left until its producer posts by itself, for a first part.
    pub deliver_in: Option<Duration>,
    /// Since it was accepted or replayed, for a first part.
    pub waited: Option<Duration>,
}

/// What [`Store::claim`] answers.
pub enum Claim {
    /// The lease is gone: stop.
    Lost,
    /// Nothing to do in this room.
    Idle,
    /// The head may not go yet.
    Wait(Duration),
    /// The head was settled, or its state changed, without a call; claim again.
    Settled {
        /// expired, withdrawn, absent, gave_up, set_aside, rotate, failed or finished.
        how: String,
        /// The message's identity.
        uid: String,
    },
    /// Read the room: is this part there?
    Look(Claimed),
    /// Post this part.
    Post(Claimed),
}

/// What was learnt of a call.
pub struct CallReport<'a> {
    /// What had been claimed.
    pub claimed: &'a Claimed,
    /// The channel's name.
    pub channel: &'a str,
    /// How it ended.
    pub outcome: Outcome,
    /// HTTP status, if there was an answer.
    pub status: Option<u16>,
    /// From before the request to the answer, or to giving up.
    pub latency: Duration,
    /// What was said, without the address.
    pub request: serde_json::Value,
    /// What was answered.
    pub response: Option<serde_json::Value>,
    /// What went wrong, without secrets.
    pub error: Option<String>,
    /// How long the lane shall pause, where it must.
    pub pause: Duration,
    /// Fingerprint of the address that was called.
    pub room_fingerprint: Vec<u8>,
}

/// What recording a call tells.
#[derive(Debug, Clone)]
pub struct Recorded {
    /// Whether the caller still held the lane.
    pub owner: bool,
    /// The delivery's state now.
    pub state: Option<String>,
    /// This record suspended the room.
    pub suspended: bool,
    /// Its producer waits for an answer.
    pub asked: bool,
}

fn duration(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or(Duration::ZERO)
}

fn claimed(row: &Row) -> Result<Claimed, StoreError> {
    Ok(Claimed {
        room: row.try_get("room")?,
        delivery: row.try_get("id")?,
        uid: row.try_get("uid")?,
        part: row.try_get("n")?,
        attempt: row.try_get("attempt")?,
        text: row.try_get("text")?,
        text_sealed: row.try_get("text_sealed")?,
        picture_url: row.try_get("picture_url")?,
        claimed_at: row.try_get("claimed_at")?,
        failures: row.try_get("failures")?,
        deliver_in: row.try_get::<_, Option<f64>>("deliver_in")?.map(duration),
        waited: row.try_get::<_, Option<f64>>("waited")?.map(duration),
    })
}

fn claim_of(row: Option<Row>) -> Result<Claim, StoreError> {
    let Some(row) = row else { return Ok(Claim::Lost) };
    Ok(match row.try_get::<_, &str>("what")? {
        "idle" => Claim::Idle,
        "wait" | "hold" => Claim::Wait(duration(row.try_get::<_, Option<f64>>("wait")?.unwrap_or(0.0))),
        "look" => Claim::Look(claimed(&row)?),
        "post" => Claim::Post(claimed(&row)?),
        how => Claim::Settled { how: how.to_owned(), uid: row.try_get("uid")? },
    })
}

/// The attempt that the room was read for, in vain.
pub type Absent<'a> = Option<&'a Claimed>;

/// The lane that was taken, and what is to be done in it; `None`: none may go now.
pub type Taken = Option<(String, Claim)>;

/// What a holder does once its call is recorded.
#[derive(Clone, Copy)]
pub enum Then<'a> {
    /// Goes on in its lane.
    Claim,
    /// Lets go of it.
    LetGo,
    /// Lets go of it, and looks again in these rooms.
    Take(&'a [String]),
}

/// What came of [`Then`].
pub enum After {
    /// The next claim in the same lane.
    Claimed(Claim),
    /// The lane is free.
    LetGo,
    /// It is free, and perhaps another is held.
    Took(Taken),
}

/// Sent in this order on one connection: three statements, three snapshots, one round trip.
async fn let_go_and_take(client: &Lent, token: &str, rooms: &[String], lanes: &Lanes) -> Result<Taken, StoreError> {
    let release = client.prepare_cached(RELEASE).await?;
    let take = client.prepare_cached(TAKE).await?;
    let claim = client.prepare_cached(CLAIM).await?;
    let wanted = Wanted::of(lanes, None, None);
    let params = wanted.params(&token);
    let (held, any): ([Param<'_>; 1], [Param<'_>; 3]) = ([&token], [&token, &wanted.lease, &rooms]);
    let (released, taken, claimed) = tokio::join!(
        client.execute(&release, &held),
        client.query_opt(&take, &any),
        client.query_opt(&claim, &params),
    );
    released?;
    let Some(row) = taken? else { return Ok(None) };
    Ok(Some((row.try_get(0)?, claim_of(claimed?)?)))
}

impl Store {
    /// Takes a lane and claims in it, in one round trip; lets go of the one held before, if any. `None`: no lane of
    /// these rooms may go now. *Let go, then look again* makes a wake-up impossible to lose: who fails to take after
    /// its commit failed because of a holder whose look comes later, with a newer snapshot.
    pub async fn take(&self, token: &str, rooms: &[String], lanes: &Lanes) -> Result<Taken, StoreError> {
        self.again(|| self.take_once(token, rooms, lanes)).await
    }

    async fn take_once(&self, token: &str, rooms: &[String], lanes: &Lanes) -> Result<Taken, StoreError> {
        let client = self.client().await?;
        let result = self.limit(let_go_and_take(&client, token, rooms, lanes)).await;
        Self::finish(client, result)
    }

    /// Claims the next part of the lane of this room, held by `token`. `absent`: the room was read and that attempt is not
    /// there.
    pub async fn claim(&self, token: &str, room: &str, lanes: &Lanes, absent: Absent<'_>) -> Result<Claim, StoreError> {
        let wanted = Wanted::of(lanes, Some(room), absent);
        let rows = self.rows(CLAIM, &wanted.params(&token)).await?;
        claim_of(rows.into_iter().next())
    }

    /// Records a call, and does what comes `then`: several statements (one would not see its own effects), one round trip.
    /// They run even if the record failed: a claim then finds the part in the air and says `Wait`.
    pub async fn record(
        &self,
        token: &str,
        report: &CallReport<'_>,
        lanes: &Lanes,
        then: Then<'_>,
    ) -> Result<(Recorded, After), StoreError> {
        self.again(|| self.record_once(token, report, lanes, then)).await
    }

    async fn record_once(
        &self,
        token: &str,
        report: &CallReport<'_>,
        lanes: &Lanes,
        then: Then<'_>,
    ) -> Result<(Recorded, After), StoreError> {
        let client = self.client().await?;
        let result = self
            .limit(async {
                let record = client.prepare_cached(RECORD).await?;
                let facts = Facts::of(report, lanes);
                let params = facts.params(&token);
                let record = client.query_one(&record, &params);
                // Neither is believed without the other: the commit of a record waits for no disk.
                match then {
                    Then::Claim => {
                        let claim = client.prepare_cached(CLAIM).await?;
                        let wanted = Wanted::of(lanes, Some(&report.claimed.room), None);
                        let params = wanted.params(&token);
                        let (recorded, claimed) = tokio::join!(record, client.query_opt(&claim, &params));
                        Ok((recorded_of(&recorded?)?, After::Claimed(claim_of(claimed?)?)))
                    }
                    Then::LetGo => {
                        let release = client.prepare_cached(RELEASE).await?;
                        let held: [Param<'_>; 1] = [&token];
                        let (recorded, released) = tokio::join!(record, client.execute(&release, &held));
                        released?;
                        Ok((recorded_of(&recorded?)?, After::LetGo))
                    }
                    Then::Take(rooms) => {
                        let (recorded, taken) = tokio::join!(record, let_go_and_take(&client, token, rooms, lanes));
                        Ok((recorded_of(&recorded?)?, After::Took(taken?)))
                    }
                }
            })
            .await;
        Self::finish(client, result)
    }

    /// Puts off the judgement of a part in the air whose room could not be read; after five times it is judged without.
    pub async fn postpone(&self, token: &str, claimed: &Claimed, wait: Duration) -> Result<(), StoreError> {
        self.rows(POSTPONE, &[&token, &claimed.delivery, &claimed.part, &claimed.attempt, &wait.as_secs_f64()])
            .await
            .map(drop)
    }

    /// Takes back this holder's claims whose call was never begun; `called` is one that was, and is not recorded.
    pub async fn disown(&self, token: &str, called: Option<(i64, i16, i32)>) -> Result<(), StoreError> {
        let (delivery, part, attempt) = (called.map(|c| c.0), called.map(|c| c.1), called.map(|c| c.2));
        self.rows(DISOWN, &[&token, &delivery, &part, &attempt]).await.map(drop)
    }

    /// Lets go of the lane.
    pub async fn release(&self, token: &str) -> Result<(), StoreError> {
        self.rows(RELEASE, &[&token]).await.map(drop)
    }
}

fn recorded_of(row: &Row) -> Result<Recorded, StoreError> {
    Ok(Recorded {
        owner: row.try_get("owner")?,
        state: row.try_get("state")?,
        suspended: row.try_get("suspended")?,
        asked: row.try_get("asked")?,
    })
}
