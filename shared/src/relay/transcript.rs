//! Transcripts: what was said to the rooms and in them, one after the other in order of time, a page in memory at a time.
use std::collections::VecDeque;

use jiff::Timestamp;
use serde::Serialize;

use super::Relay;
use crate::chat::Line;
use crate::command::words::masked;
use crate::seal::Place;
use crate::store::StoreError;
use crate::store::transcript::{Heard, Told};

/// What was said once: a message, for each of its rooms, or a line of a member. `Debug` is not there: it holds people.
#[derive(Clone, PartialEq, Eq, Serialize)]
pub struct Said {
    /// `in`: a message, on its way into a room. `out`: what a member said there.
    pub direction: &'static str,
    /// The room's name; `None` for what was never to be posted, and where its group is no room of ours.
    pub room: Option<String>,
    /// When it was accepted, or heard: by the database's clock.
    pub time: Timestamp,
    /// A message's verdict, or of an accepted one how its delivery stands; a line was `heard`.
    pub state: String,
    /// A routing key; of a line, the one that it is recorded under.
    pub source: String,
    /// The message's identity; GroupMe's id of a line.
    pub uid: String,
    /// The sender's address, or the member's user id: masked, but where all is revealed.
    pub sender: Option<String>,
    /// The sender's or member's name, where all is revealed.
    pub name: Option<String>,
    /// What was said; of what only the room may read, or nobody was to read, only where all is revealed.
    pub text: Option<String>,
}

/// A transcript that is being read.
pub struct Transcript<'r> {
    relay: &'r Relay,
    to: Timestamp,
    reveal: bool,
    told: VecDeque<Told>,
    heard: VecDeque<Heard>,
    told_behind: Option<(Timestamp, String)>,
    heard_behind: Option<(Timestamp, String, String)>,
    unopened: u64,
}

impl Relay {
    /// What was said from `from` on and before `to`. What comes while it is read may be in it or not. `reveal`: also who
    /// people are, and what only the room may read.
    #[must_use]
    pub fn transcript(&self, from: Timestamp, to: Timestamp, reveal: bool) -> Transcript<'_> {
        Transcript {
            relay: self,
            to,
            reveal,
            told: VecDeque::new(),
            heard: VecDeque::new(),
            told_behind: Some((from, String::new())),
            heard_behind: Some((from, String::new(), String::new())),
            unopened: 0,
        }
    }
}

impl Transcript<'_> {
    /// What was said next; `None`: that was all.
    ///
    /// # Errors
    /// The database is unavailable.
    pub async fn next(&mut self) -> Result<Option<Said>, StoreError> {
        self.fill().await?;
        let told = match (self.told.front(), self.heard.front()) {
            (Some(told), Some(heard)) => told.at <= heard.at,
            (told, _) => told.is_some(),
        };
        if told {
            return Ok(self.told.pop_front().map(|told| self.message(told)));
        }
        Ok(self.heard.pop_front().map(|heard| self.line(heard)))
    }

    /// How much could not be opened so far: a key is missing.
    #[must_use]
    pub fn unopened(&self) -> u64 {
        self.unopened
    }

    /// Has the next of both at hand, as far as there are any.
    async fn fill(&mut self) -> Result<(), StoreError> {
        let store = &self.relay.store;
        while let (true, Some(behind)) = (self.told.is_empty(), &self.told_behind) {
            self.told = store.told_after(behind, self.to, self.reveal).await?.into();
            self.told_behind = self.told.back().map(|last| (last.at, last.uid.clone()));
        }
        while let (true, Some(behind)) = (self.heard.is_empty(), &self.heard_behind) {
            let page = store.heard_after(behind, self.to).await?;
            self.heard_behind = page.last().map(|last| (last.at, last.group.clone(), last.id.clone()));
            self.heard = page.into_iter().filter(|line| line.by_member).collect();
        }
        Ok(())
    }

    fn message(&mut self, told: Told) -> Said {
        let (room, delivery) = told.delivery.unzip();
        let state = match delivery {
            Some(state) if told.verdict == "accepted" => state,
            _ => told.verdict,
        };
        let sender = told.sender_sealed.and_then(|sealed| {
            let sender = self.relay.open_sender(&told.uid, &sealed);
            self.opened(sender)
        });
        let text = told.body.or_else(|| {
            let plain = self.open("messages", "body_sealed", &told.uid, told.body_sealed.as_deref()?);
            self.opened(plain.and_then(|plain| String::from_utf8(plain).ok()))
        });
        let (address, name) = sender.map_or((None, None), |sender| (Some(sender.address), sender.name));
        Said {
            direction: "in",
            room,
            time: told.at,
            state,
            source: told.source,
            uid: told.uid,
            sender: address.map(|address| self.shown(address)),
            name: name.filter(|_| self.reveal),
            text,
        }
    }

    fn line(&mut self, heard: Heard) -> Said {
        let line = heard.payload_sealed.and_then(|sealed| {
            let plain = self.open("groupme_callbacks", "payload_sealed", &heard.id, &sealed);
            let line = plain.and_then(|plain| Line::read(&serde_json::from_slice(&plain).ok()?));
            self.opened(line)
        });
        let author = line.as_ref().map(Line::author);
        Said {
            direction: "out",
            room: heard.room,
            time: heard.at,
            state: "heard".to_owned(),
            source: "source.groupme.callback".to_owned(),
            uid: heard.id,
            sender: author.as_ref().map(|author| self.shown(author.id.clone())),
            name: author.map(|author| author.name).filter(|_| self.reveal),
            text: line.map(|line| line.text().to_owned()),
        }
    }

    fn open(&self, table: &'static str, column: &'static str, row: &str, sealed: &[u8]) -> Option<Vec<u8>> {
        self.relay.settings.data_keys.open(Place { table, column, row }, sealed).ok()
    }

    /// Counts what did not open.
    fn opened<T>(&mut self, plain: Option<T>) -> Option<T> {
        self.unopened += u64::from(plain.is_none());
        plain
    }

    fn shown(&self, address: String) -> String {
        if self.reveal { address } else { masked(&address) }
    }
}
