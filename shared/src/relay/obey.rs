//! A command typed in the room: recorded with its author and its outcome, obeyed once, answered once.
use std::time::Duration;

use jiff::Timestamp;
use serde_json::json;

use super::Relay;
use super::plan::Door;
use super::prove::Proof;
use crate::chat::{Author, Line};
use crate::command::{self, Asked, Command, Grade, Said, words};
use crate::config::Room;
use crate::seal::Place;
use crate::store::StoreError;
use crate::store::commands::{Done, Standing, Turn, Typed};

/// A line older than this is recorded, not obeyed: nobody waits for it any more.
const STALE: Duration = Duration::from_mins(5);

/// Commands of one person in a minute.
const IN_A_MINUTE: i64 = 20;

/// How long others may take where nobody waits for an answer within a second.
pub(super) const PATIENT: Duration = Duration::from_secs(5);

/// With less time than this nothing is published: a broker that is well may take as long to confirm.
const A_CONFIRM: Duration = Duration::from_secs(1);

/// GroupMe may show a line a little later than it tells of it: so long it is looked for again.
const SHOWN_WITHIN: Duration = Duration::from_secs(10);

/// Whether a command is done with.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Obeyed {
    /// It is.
    Done,
    /// It is left to the dispatcher.
    Later,
    /// The same: GroupMe did not answer.
    Silent,
}

/// What a turn came to.
enum Ended {
    /// This is to be said, if anything.
    Said(Option<String>),
    /// GroupMe must be asked first.
    Unproved,
    /// It may take longer than there is time here.
    Later,
}

impl Relay {
    /// Obeys a command. What could not be finished, here or by whoever died doing it, is done by the dispatcher; what the
    /// database will not have is given up, so that it holds up nothing behind it.
    ///
    /// # Errors
    /// The database is unavailable.
    pub(crate) async fn obey(
        &self,
        line: &Line,
        room: &Room,
        word: &str,
        patience: Duration,
    ) -> Result<Obeyed, StoreError> {
        match self.obey_once(line, room, word, patience).await {
            Err(error) if error.is_bad_input() => {
                tracing::error!(error = &error as &dyn std::error::Error, "a command is given up");
                self.give_up(line.group(), line.id()).await.map(|()| Obeyed::Done)
            }
            other => other,
        }
    }

    pub(super) async fn give_up(&self, group: &str, id: &str) -> Result<(), StoreError> {
        let turn = self.store.begin().await?;
        let left = turn.done(group, id, &Done { outcome: "failed", reply_sealed: None }).await;
        turn.end(left).await?;
        self.store.command_told(group, id).await
    }

    async fn obey_once(&self, line: &Line, room: &Room, word: &str, patience: Duration) -> Result<Obeyed, StoreError> {
        let (author, command) = (line.author(), command::find(word));
        let author_row = format!("{}/{}", line.group(), line.id());
        self.store
            .typed(&Typed {
                group: line.group(),
                line: line.id(),
                room: &room.name,
                command: command.map(|command| command.name),
                author_hash: &self.settings.lookup.hash("member", author.id.as_bytes()),
                author_sealed: &self.sealed(
                    "commands",
                    "author_sealed",
                    &author_row,
                    json!(author).to_string().as_bytes(),
                ),
            })
            .await?;
        let job = Job { relay: self, line, room: &room.name, author, command, word, row: author_row, patience };
        let mut proof = None;
        let text = loop {
            let turn = self.store.begin().await?;
            let ended = Box::pin(job.turn(&turn, proof)).await;
            match turn.end(ended).await? {
                Ended::Said(text) => break text,
                Ended::Later => {
                    self.store.hand_over(line.group(), line.id()).await?;
                    return Ok(Obeyed::Later);
                }
                Ended::Unproved => match self.prove(line, room, patience).await? {
                    Proof::Silent => {
                        self.store.hand_over(line.group(), line.id()).await?;
                        return Ok(Obeyed::Silent);
                    }
                    told => proof = Some(told),
                },
            }
        };
        let Some(text) = text else { return Ok(Obeyed::Done) };
        let name = format!("line/{}", job.row);
        let rooms = [room.name.clone()];
        if let Some(offer) = self.words("source.talkback.reply", Door::Chat, &name, &rooms, &text) {
            Box::pin(self.accept(&[offer])).await?;
        }
        self.store.command_told(line.group(), line.id()).await?;
        Ok(Obeyed::Done)
    }

    /// Whether GroupMe is asked for the line before that is done.
    pub(super) fn needs_proof(&self, command: &Command) -> bool {
        command.grade != Grade::Look && self.settings.groupme.access_token.is_some()
    }
}

/// One command to be obeyed.
struct Job<'a> {
    relay: &'a Relay,
    line: &'a Line,
    room: &'a str,
    author: Author,
    command: Option<&'static Command>,
    word: &'a str,
    row: String,
    patience: Duration,
}

impl Job<'_> {
    /// Does it once: whoever comes second finds it done, and says the same.
    async fn turn(&self, turn: &Turn, proof: Option<Proof>) -> Result<Ended, StoreError> {
        let (group, id) = (self.line.group(), self.line.id());
        let mut standing = turn.standing(group, id).await?;
        if standing.in_a_minute > IN_A_MINUTE && !standing.warned {
            // Of two that are one too many, one is answered.
            turn.lock_author(&self.relay.settings.lookup.hash("member", self.author.id.as_bytes())).await?;
            standing = turn.standing(group, id).await?;
        }
        match standing.state.as_str() {
            "due" => {}
            "done" => return Ok(Ended::Said(standing.reply_sealed.and_then(|sealed| self.open(&sealed)))),
            _ => return Ok(Ended::Said(None)),
        }
        let said = match (self.judge(&standing), self.command) {
            (Some(said), _) => said,
            (None, None) => command::unknown(self.word),
            (None, Some(command)) if self.relay.needs_proof(command) && proof.is_none() => return Ok(Ended::Unproved),
            (None, Some(_)) if proof == Some(Proof::NotThere) && standing.age < SHOWN_WITHIN => {
                return Ok(Ended::Later);
            }
            (None, Some(command)) if proof == Some(Proof::NotThere) => {
                tracing::error!("a command came by the callback that nobody typed: its address is known to others");
                let text =
                    format!("!{} was asked for by a line that GroupMe does not have: it is not done.", command.name);
                Said { outcome: "unproved", text }
            }
            (None, Some(command)) if command.publishes && self.patience < A_CONFIRM => return Ok(Ended::Later),
            (None, Some(command)) => self.run(turn, command).await?,
        };
        let sealed = (!said.text.is_empty()).then(|| self.seal(&said.text));
        turn.done(group, id, &Done { outcome: said.outcome, reply_sealed: sealed.as_deref() }).await?;
        tracing::info!(command = self.command.map(|command| command.name), outcome = said.outcome, "command obeyed");
        Ok(Ended::Said(Some(said.text).filter(|text| !text.is_empty())))
    }

    async fn run(&self, turn: &Turn, command: &Command) -> Result<Said, StoreError> {
        // Postgres takes no U+0000.
        let text = self.line.text().replace('\0', "\u{fffd}");
        let words = words::split(&text);
        let asked = Asked {
            relay: self.relay,
            turn,
            room: self.room,
            author: &self.author,
            name: &self.row,
            text: &text,
            words: words.get(1..).unwrap_or_default(),
            patience: self.patience,
        };
        (command.run)(&asked).await
    }

    /// What is to be said before the command itself has a say, if anything.
    fn judge(&self, standing: &Standing) -> Option<Said> {
        let silent = |outcome| Some(Said { outcome, text: String::new() });
        let refused = |text: String| Some(Said { outcome: "refused", text });
        // Whoever sends a line without its time sends none of GroupMe's.
        let said = self.line.created_at().map(|at| Timestamp::now().duration_since(at));
        let age = said.map_or(Duration::ZERO, |age| Duration::try_from(age).unwrap_or_default());
        if age.max(standing.age) > STALE {
            return match self.command {
                // It came in time, and could not be done in it.
                Some(command) if said.is_some() && age.saturating_sub(standing.age) <= STALE => Some(Said {
                    outcome: "stale",
                    text: format!(
                        "!{} could not be done within five minutes, and is left: type it again.",
                        command.name
                    ),
                }),
                _ => silent("stale"),
            };
        }
        if standing.in_a_minute > IN_A_MINUTE {
            let text = format!("More than {IN_A_MINUTE} commands in a minute: I do not listen to more.");
            return if standing.warned { silent("ignored") } else { Some(Said { outcome: "warned", text }) };
        }
        let command = self.command?;
        let settings = &self.relay.settings;
        if !command.grade.who(&settings.chat).includes(&self.author.id) {
            return refused(format!("{}, you may not use !{} here.", self.author.name, command.name));
        }
        if command.grade == Grade::Publish && settings.groupme.access_token.is_none() {
            return refused("Publishing from the chat needs GROUPME_ACCESS_TOKEN, which is not set.".to_owned());
        }
        None
    }

    fn seal(&self, text: &str) -> Vec<u8> {
        self.relay.sealed("commands", "reply_sealed", &self.row, text.as_bytes())
    }

    fn open(&self, sealed: &[u8]) -> Option<String> {
        let place = Place { table: "commands", column: "reply_sealed", row: &self.row };
        String::from_utf8(self.relay.settings.data_keys.open(place, sealed).ok()?).ok()
    }
}
