//! Posting by oneself: the same parts, at the room's pace, one program at a time; each step is written down before it is
//! taken.
use std::time::Duration;

use jiff::Timestamp;
use talkback::amqp_event::header;
use talkback::broker::{HeaderValue, Props};
use talkback::channel::{Answer, Channel as _, Post, ReadBack, Refusal};
use talkback::compose::Dress;
use talkback::delivery::PartState;
use talkback::guard::Guard;
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use crate::journal::{Call, Journal, Part};
use crate::outcome::{Because, Outcome, Recorded};
use crate::own_turn::Turns;
use crate::producer::{Producer, outcome};
use crate::replies::{Asking, Reply};
use crate::spool::{Entry, POSTING, PUBLISHING, SpoolError};
use crate::trace::Trace;

/// The routing key of a record.
const RECORD: &str = "source.groupme.msg";

/// The first wait before a call is made again.
const AGAIN: Duration = Duration::from_millis(250);
/// The longest.
const AGAIN_AT_MOST: Duration = Duration::from_secs(60);

/// How often a part may be called whose answers are all lost.
const UNKNOWNS: usize = 2;

/// So far back the room is looked through, in seconds: whoever was killed while it waited for Talkback is started again
/// under the same uid, and Talkback may have posted then and be away now. Each text ends in its uid, so that an older
/// line of the same text is the same message.
const BACK: i64 = 300;

/// How long reading the room may take: an alarm waits meanwhile.
const READ: Duration = Duration::from_secs(2);

/// How long another program may publish before ours is left to it, or to the next.
const PUBLISH: Duration = Duration::from_secs(5);

/// How long another may post before it is not noted which records are published.
const NOTE: Duration = Duration::from_secs(1);

/// A message's place in the spool, if the spool took it.
pub(crate) struct Held {
    entry: Option<Entry>,
    /// What was not written down.
    trouble: Option<SpoolError>,
}

impl Held {
    pub(crate) fn at(entry: Entry) -> Self {
        Self { entry: Some(entry), trouble: None }
    }

    pub(crate) fn of(inserted: Result<Entry, SpoolError>) -> Self {
        match inserted {
            Ok(entry) => Self::at(entry),
            Err(trouble) => Self { entry: None, trouble: Some(trouble) },
        }
    }

    fn why(&self) -> String {
        self.trouble.as_ref().map_or_else(|| "it is in no spool".to_owned(), ToString::to_string)
    }
}

/// How far posting came.
enum Ended {
    /// Nothing of it is to be posted any more.
    Done,
    /// The rest is for the next flush.
    Later(String),
    /// Never.
    Never(String),
    /// Talkback spoke up before anything was posted: it has it, or refuses it.
    Answered(Reply),
    /// Another program has ended it.
    Elsewhere(Trace),
}

impl Producer {
    /// Posts what is left of a message, for as long as `effort`, and publishes its records.
    pub(crate) async fn finish(
        &self,
        mut journal: Journal,
        mut held: Held,
        because: Because,
        asking: Option<&mut Asking>,
        effort: Duration,
    ) -> Outcome {
        let ended = self.post(&mut journal, &mut held, asking, effort).await;
        let (posted, parts) = (journal.posted(), journal.parts.len());
        let last = match ended {
            Ended::Answered(reply) => return outcome(reply),
            Ended::Elsewhere(trace) => return trace.outcome(because),
            Ended::Later(last) if held.entry.is_some() => {
                self.publish_some(&mut journal, &held).await;
                return Outcome::Kept { because, posted, parts, last };
            }
            Ended::Done => "GroupMe refused it".to_owned(),
            Ended::Later(last) | Ended::Never(last) => last,
        };
        let recorded = self.record(&mut journal, &mut held, &last).await;
        if posted == parts {
            return Outcome::Posted { because, recorded };
        }
        Outcome::Failed { because, posted, parts, last, recorded }
    }

    /// While we waited, another may have gone on with it, or have said the same under its uid. Asked under the lock of
    /// posting; `Some` where it has ended.
    fn catch_up(&self, journal: &mut Journal, held: &mut Held) -> Option<Trace> {
        match held.entry.as_ref().map(|entry| self.spool.load(entry)) {
            Some(Ok(Some(known))) => *journal = known,
            Some(Ok(None)) => {
                // Without a trace Talkback has it.
                journal.parts.iter_mut().for_each(|part| part.state = PartState::Sent);
                return Some(Trace::find(&self.spool, journal).unwrap_or_else(|| Trace::of(journal, "", true)));
            }
            Some(Err(trouble)) => held.trouble = Some(trouble),
            None => {}
        }
        if journal.has_begun() || journal.ended {
            return None;
        }
        // First the messages, then the traces: who ends one leaves its trace first.
        if let Some((entry, known)) = self.spool.find(journal.uid, journal.bot, held.entry.as_ref()) {
            self.forget(held);
            (*journal, *held) = (known, Held::at(entry));
            return None;
        }
        let trace = Trace::find(&self.spool, journal).filter(|trace| trace.posted > 0)?;
        self.forget(held);
        Some(trace)
    }

    async fn post(
        &self,
        journal: &mut Journal,
        held: &mut Held,
        mut asking: Option<&mut Asking>,
        effort: Duration,
    ) -> Ended {
        // What has ended stays so: its records need not wait for who posts.
        if journal.ended {
            return Ended::Done;
        }
        let room = &self.settings.room;
        let until = Instant::now() + effort;
        let lock = self.spool.lock(POSTING, until).await;
        match &lock {
            Err(SpoolError::Busy) if held.entry.is_some() => return Ended::Later(SpoolError::Busy.to_string()),
            Ok(_) => {
                if let Some(trace) = self.catch_up(journal, held) {
                    return Ended::Elsewhere(trace);
                }
            }
            // The post does not wait for a disk.
            Err(_) => {}
        }
        let mut turns = Turns::read(&self.spool);
        let (mut pause, mut last) = (AGAIN, "not its turn yet".to_owned());
        while let Some(index) = journal.next().filter(|_| !journal.ended) {
            let wait = turns.wait(room, Timestamp::now());
            if Instant::now() + wait > until {
                return Ended::Later(last);
            }
            sleep(wait).await;
            // After the pause: the room may show a moment later what it took.
            if journal.parts[index].state == PartState::Posting && self.settle(&mut journal.parts[index]).await {
                self.save(journal, held);
                continue;
            }
            if !journal.has_begun() {
                let heard = asking.as_mut().and_then(|asking| asking.heard_already());
                if let Some(reply) = heard.filter(|reply| !reply.is_withdrawn()) {
                    // Before the next has the lock, and finds it.
                    self.forget(held);
                    return Ended::Answered(reply);
                }
                if journal.expires <= Timestamp::now() {
                    journal.ended = true;
                    self.save(journal, held);
                    return Ended::Never("it is too old".to_owned());
                }
            }
            let part = &mut journal.parts[index];
            part.state = PartState::Posting;
            part.calls.push(Call { id: Uuid::new_v4(), at: Timestamp::now(), status: None, published: false });
            self.save(journal, held);
            turns.charge(room, Timestamp::now(), &self.spool);
            let part = &journal.parts[index];
            let post = Post { room, text: &part.text, picture_url: part.picture_url.as_deref() };
            let guard = Guard::from_now(self.settings.http);
            let call = self.channel.post(post, self.settings.http, guard).await;
            let part = &mut journal.parts[index];
            if let Some(latest) = part.calls.last_mut() {
                latest.status = call.status;
            }
            if let Some(error) = call.error {
                last = format!("GroupMe: {error}");
            }
            match call.answer {
                Answer::Posted => (part.state, pause) = (PartState::Sent, AGAIN),
                Answer::Retry { after, .. } => {
                    part.state = PartState::Waiting;
                    // What never reached GroupMe is no call.
                    if call.status.is_none() {
                        part.calls.pop();
                    }
                    turns.pause(Timestamp::now(), after.unwrap_or(pause), &self.spool);
                    pause = (pause * 2).min(AGAIN_AT_MOST);
                }
                // The world went on: whose turn it is must be judged again.
                Answer::Late => {
                    part.state = PartState::Waiting;
                    part.calls.pop();
                }
                Answer::Unknown => {
                    turns.pause(Timestamp::now(), pause, &self.spool);
                    pause = (pause * 2).min(AGAIN_AT_MOST);
                }
                // The bot id is wrong, or GroupMe says so today: with another one the rest may go.
                Answer::Refuse { why: Refusal::Room } => {
                    part.state = PartState::Waiting;
                    self.save(journal, held);
                    return Ended::Later("GroupMe does not know the bot of GROUPME_BOT_ID".to_owned());
                }
                Answer::Refuse { why: Refusal::Part } => {
                    let left = journal.parts.iter_mut().filter(|part| part.state != PartState::Sent);
                    left.for_each(|part| part.state = PartState::Failed);
                }
            }
            self.save(journal, held);
        }
        journal.ended = true;
        self.save(journal, held);
        Ended::Done
    }

    /// A part whose call has no answer: in the room, or called often enough, it is done with. Else it is called once
    /// more: doubled is better than lost.
    async fn settle(&self, part: &mut Part) -> bool {
        let since = part.calls.last().map_or(Timestamp::UNIX_EPOCH, |call| call.at);
        if self.look(part, since).await == Some(true) {
            part.state = PartState::Sent;
            // Its record says that it is there, whatever the answer said.
            part.calls.iter_mut().rev().take(1).for_each(|call| call.status = None);
            return true;
        }
        let unknown = |call: &&Call| call.status.is_none_or(|status| status >= 500);
        if part.calls.iter().filter(unknown).count() >= UNKNOWNS {
            part.state = PartState::Unconfirmed;
            return true;
        }
        false
    }

    /// Whether a part is in the room; `None` where that cannot be told. In the plain dress two messages may read the
    /// same, so it tells nothing.
    pub(crate) async fn look(&self, part: &Part, since: Timestamp) -> Option<bool> {
        if self.settings.groupme.access_token.is_none() || self.settings.room.dress == Dress::Plain {
            return None;
        }
        let from = since.as_second() - BACK;
        match self.channel.read_back(&self.settings.room, from, READ).await {
            ReadBack::Lines(lines) => Some(lines.iter().any(|line| is_said_by(&line.json, part, from))),
            ReadBack::Failed { .. } => None,
        }
    }

    fn save(&self, journal: &Journal, held: &mut Held) {
        if let Some(entry) = &held.entry
            && let Err(trouble) = self.spool.save(entry, journal)
        {
            held.trouble = Some(trouble);
        }
    }

    fn forget(&self, held: &Held) {
        if let Some(entry) = &held.entry {
            // If it stays, it is found unbegun and asked for once more; the room is looked at first.
            let _ = self.spool.remove(entry);
        }
    }

    /// Publishes the records of a message that has ended, and forgets it.
    pub(crate) async fn record(&self, journal: &mut Journal, held: &mut Held, last: &str) -> Recorded {
        let lock = self.spool.lock(PUBLISHING, Instant::now() + PUBLISH).await;
        if let (Ok(_), Some(entry)) = (&lock, &held.entry)
            && let Ok(None) = self.spool.load(entry)
        {
            return Recorded::Published;
        }
        let published = match lock {
            Err(SpoolError::Busy) if held.entry.is_some() => Err(SpoolError::Busy.to_string()),
            _ => self.publish_records(journal).await,
        };
        let Err(why) = published else {
            Trace::of(journal, last, true).leave(&self.spool, journal);
            self.forget(held);
            return Recorded::Published;
        };
        if held.entry.is_some() {
            held.trouble = None;
            self.save(journal, held);
            if held.trouble.is_none() {
                return Recorded::Spooled { why };
            }
            // What lies there is of before the post: whoever found it would post again.
            self.forget(held);
        }
        Trace::of(journal, last, false).leave(&self.spool, journal);
        Recorded::Nowhere { why: format!("{why}; {}", held.why()) }
    }

    /// The records so far of a message that is not done with. Others may have gone on with it, or have ended it, while
    /// the broker took them: what we knew of it must not be written over what they know. A record that is not noted is
    /// published again, and is one all the same.
    async fn publish_some(&self, journal: &mut Journal, held: &Held) {
        let Some(entry) = held.entry.as_ref().filter(|_| !journal.is_recorded()) else { return };
        if self.publish_records(journal).await.is_ok()
            && let Ok(_lock) = self.spool.lock(POSTING, Instant::now() + NOTE).await
            && let Ok(Some(mut known)) = self.spool.load(entry)
        {
            known.note_published(journal);
            let _ = self.spool.save(entry, &known);
        }
    }

    async fn publish_records(&self, journal: &mut Journal) -> Result<(), String> {
        let (room, exchange) = (&self.settings.room, &self.settings.record_exchange);
        for index in 0..journal.parts.len() {
            for call in 0..journal.parts[index].calls.len() {
                let part = &journal.parts[index];
                let told = &part.calls[call];
                if told.published {
                    continue;
                }
                let body = journal.record(part, told, room).to_string();
                let id = told.id.to_string();
                let props = Props { message_id: Some(id.clone()), timestamp: Some(told.at), ..Props::default() }
                    .with_header(header::ALREADY_SENT, HeaderValue::Bool(true))
                    // Published twice, in whatever batch and second, it is one record.
                    .with_header(header::UID, id.as_str());
                let published = self.broker.publish(exchange, RECORD, body.as_bytes(), &props, true).await;
                published.map_err(|error| error.to_string())?;
                journal.parts[index].calls[call].published = true;
            }
        }
        Ok(())
    }
}

/// Whether a line of the room is this part.
fn is_said_by(line: &serde_json::Value, part: &Part, from: i64) -> bool {
    let said = line["text"].as_str().unwrap_or_default().trim();
    let shown = line["attachments"].as_array().into_iter().flatten().find(|shown| shown["type"] == "image");
    line["sender_type"] == "bot"
        && line["created_at"].as_i64().is_some_and(|at| at >= from)
        && said == part.text.trim()
        && shown.and_then(|shown| shown["url"].as_str()) == part.picture_url.as_deref()
}
