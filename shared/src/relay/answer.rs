//! Answers for producers that wait: a reply on RabbitMQ, `POST ACK_URL` for the Twilio front end. Given after the last
//! part, up to three tries, recorded; a failed one never causes a second post. What no broker took is tried again for as
//! long as somebody may wait. Where the last part is not posted with the first, a reply says before that the message is
//! taken: its producer need not take it over any more.
use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::Relay;
use super::batch::Asker;
use crate::amqp_event::header;
use crate::broker::{BrokerError, HeaderValue, Props};
use crate::store::StoreError;
use crate::store::answers::{Begun, CallNote, Due};

/// Tries of one answer.
const TRIES: usize = 3;

/// The front end takes its message back after 15 s in all: three tries must fit.
const ACK_LIMIT: Duration = Duration::from_secs(3);

/// The front end gets at least so long to answer, however little of the budget is left.
const ACK_LEAST: Duration = Duration::from_secs(1);

/// Answers given side by side.
const AT_ONCE: i64 = 8;

/// No telling of a refused message begins after this: the batch that it came in waits meanwhile.
const REFUSED_LIMIT: Duration = Duration::from_secs(1);

/// How giving an answer ended.
enum Given {
    /// It was taken.
    Yes,
    /// It will not be: nobody waits there any more.
    Gone,
    /// It was not, as often as it was tried.
    No,
    /// There was no time for another try.
    NotYet,
}

/// One reply on RabbitMQ.
struct Reply<'a> {
    /// The message's identity.
    uid: &'a str,
    queue: &'a str,
    correlation_id: Option<&'a str>,
    banned: bool,
    body: Value,
}

impl<'a> Reply<'a> {
    /// What became of a message.
    fn of(due: &'a Due, queue: &'a str) -> Self {
        let uid = &due.given_uid;
        let body = match &due.failure {
            None if due.banned => json!({ "status": "success", "message_id": uid, "reason": "banned" }),
            None => json!({ "status": "success", "message_id": uid }),
            Some(reason) => json!({ "status": "failure", "message_id": uid, "reason": reason }),
        };
        Self { uid: &due.uid, queue, correlation_id: due.correlation_id.as_deref(), banned: due.banned, body }
    }
}

impl Relay {
    /// Gives the answers that are due, of these messages or of all. None is begun after `until`, and no second try:
    /// whoever finds one half given later goes on with it.
    pub(super) async fn answer(&self, uids: Option<&[String]>, until: Instant) -> Result<(), StoreError> {
        if uids.is_some_and(<[String]>::is_empty) {
            return Ok(());
        }
        let mut first = true;
        // What has just finished is answered even at the end of a budget: its producer waits.
        while first && uids.is_some() || Instant::now() < until {
            first = false;
            let due = self.store.take_answers(uids, AT_ONCE).await?;
            if due.is_empty() {
                break;
            }
            // Side by side: one silent address does not keep the others waiting.
            for given in join_all(due.iter().map(|due| self.give(due, until))).await {
                given?;
            }
        }
        Ok(())
    }

    /// Tells producers, of these messages or of all, that something of theirs is in the room while the rest is still to
    /// come. None is begun after `until`, but of what was just posted: its producer waits. What no broker takes is told
    /// again, when its lease is over, until the last answer is due.
    pub(super) async fn answer_begun(&self, uids: Option<&[String]>, until: Instant) -> Result<(), StoreError> {
        if self.broker.is_none() || uids.is_some_and(<[String]>::is_empty) {
            return Ok(());
        }
        let mut first = true;
        while first && uids.is_some() || Instant::now() < until {
            first = false;
            let begun = self.store.take_begun(uids, AT_ONCE).await?;
            if begun.is_empty() {
                break;
            }
            for told in join_all(begun.iter().map(|begun| self.tell_taken(begun, until))).await {
                told?;
            }
        }
        Ok(())
    }

    /// Answers the producer of a message of which the room has just shown what nobody knew: it may be about to post by
    /// itself. One try; what fails is left to the dispatcher.
    pub async fn tell_found(&self, found: Option<String>) {
        let Some(uid) = found else { return };
        let (uids, now) = ([uid], Instant::now());
        let told = async {
            self.answer_begun(Some(&uids), now).await?;
            self.answer(Some(&uids), now).await
        };
        if let Err(error) = told.await {
            tracing::warn!(error = &error as &dyn std::error::Error, "answers wait for the next sweep");
        }
    }

    async fn tell_taken(&self, begun: &Begun, until: Instant) -> Result<(), StoreError> {
        let reply = Reply {
            uid: &begun.uid,
            queue: &begun.reply_to,
            correlation_id: begun.correlation_id.as_deref(),
            banned: false,
            body: json!({ "status": "taken", "message_id": begun.given_uid }),
        };
        match self.reply(&reply, until).await? {
            Given::Yes | Given::Gone => {}
            Given::NotYet => return Ok(()),
            Given::No => return self.store.answer_later(&begun.uid).await.map(drop),
        }
        self.store.taken(&begun.uid).await?;
        // It may have been finished while this was told, when nobody else could answer.
        self.answer(Some(std::slice::from_ref(&begun.uid)), until).await
    }

    async fn give(&self, due: &Due, until: Instant) -> Result<(), StoreError> {
        let replied = match &due.reply_to {
            Some(queue) => self.reply(&Reply::of(due, queue), until).await?,
            None => Given::Yes,
        };
        let acknowledged = if due.ack_url { self.acknowledge(due, until).await? } else { Given::Yes };
        match (replied, acknowledged) {
            (Given::NotYet, _) | (_, Given::NotYet) => Ok(()),
            // A broker that is away for a moment must not make its producer post by itself what is posted.
            (Given::No, _) if self.store.answer_later(&due.uid).await? => Ok(()),
            (Given::Yes, Given::Yes) => self.store.answered(&due.uid, true).await,
            _ => self.store.answered(&due.uid, false).await,
        }
    }

    /// Tells producers that their messages were refused at the door and never will be posted. Best effort: no row waits
    /// for this answer, and who hears nothing takes over all the same. None is begun after the limit: a broker that
    /// takes nothing must not hold up the batch for each of a hundred.
    pub(super) async fn reply_refused(&self, refused: &[(&'static str, Asker)]) {
        let until = Instant::now() + REFUSED_LIMIT;
        for (reason, (uid, to)) in refused {
            let due = Due {
                uid: uid.key().to_owned(),
                given_uid: uid.given().to_owned(),
                failure: Some((*reason).to_owned()),
                banned: false,
                reply_to: Some(to.queue.clone()),
                correlation_id: Some(to.correlation_id.clone()),
                ack_url: false,
                failed_acks: 0,
            };
            if let Err(error) = self.reply(&Reply::of(&due, &to.queue), until).await {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "a producer was not told of its refused message"
                );
            }
            if Instant::now() >= until {
                return;
            }
        }
    }

    async fn reply(&self, reply: &Reply<'_>, until: Instant) -> Result<Given, StoreError> {
        let Some(broker) = &self.broker else { return Ok(Given::No) };
        // RabbitMQ's direct reply-to is no queue: what is mandatory comes back as unroutable although it was delivered.
        let mandatory = !reply.queue.starts_with("amq.rabbitmq.reply-to.");
        let mut props = Props { correlation_id: reply.correlation_id.map(str::to_owned), ..Props::default() };
        if reply.banned {
            props = props.with_header(header::BANNED, HeaderValue::Bool(true));
        }
        for attempt in 0..TRIES {
            if attempt > 0 && Instant::now() >= until {
                return Ok(Given::NotYet);
            }
            let started = Instant::now();
            let published = broker.publish("", reply.queue, reply.body.to_string().as_bytes(), &props, mandatory).await;
            let error = published.as_ref().err().map(ToString::to_string);
            self.note(reply.uid, "amqp", "reply", None, started, &reply.body, error.as_deref()).await?;
            match published {
                Ok(()) => return Ok(Given::Yes),
                // The asker is gone, and its queue with it.
                Err(BrokerError::Unroutable) => return Ok(Given::Gone),
                Err(_) => {}
            }
        }
        Ok(Given::No)
    }

    /// 200: known; 404: the front end has given up waiting. Both are answers.
    async fn acknowledge(&self, due: &Due, until: Instant) -> Result<Given, StoreError> {
        let Some(url) = &self.settings.ack_url else { return Ok(Given::Yes) };
        // Only a success is acknowledged: without one the front end posts by itself.
        if due.failure.is_some() {
            return Ok(Given::Yes);
        }
        let body = json!({ "wbor_message_id": due.given_uid });
        let client = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .tls_backend_preconfigured(crate::tls::web_client())
            .build()
            .map_err(|_| StoreError::Settings("the HTTP client cannot be built"))?;
        // Who repeats its message asks anew: each time as often in all, whoever began.
        let left = TRIES - usize::try_from(due.failed_acks).unwrap_or_default() % TRIES;
        for attempt in 0..left {
            let started = Instant::now();
            if attempt > 0 && started >= until {
                return Ok(Given::NotYet);
            }
            // A door must not stand still for an address that is silent.
            let limit = ACK_LIMIT.min(until.saturating_duration_since(started)).max(ACK_LEAST);
            let answer = client.post(url).timeout(limit).json(&body).send().await;
            let status = answer.as_ref().ok().map(|r| r.status().as_u16());
            let known = matches!(status, Some(200..=299 | 404));
            let error = match status {
                Some(status) if !known => Some(format!("HTTP {status}")),
                Some(_) => None,
                None => Some("no answer".to_owned()),
            };
            self.note(&due.uid, "http", "ack", status, started, &body, error.as_deref()).await?;
            if known {
                return Ok(Given::Yes);
            }
        }
        Ok(Given::No)
    }

    #[expect(clippy::too_many_arguments, reason = "one fact each, for one row")]
    async fn note(
        &self,
        uid: &str,
        channel: &str,
        operation: &str,
        status: Option<u16>,
        started: Instant,
        request: &Value,
        error: Option<&str>,
    ) -> Result<(), StoreError> {
        let note = CallNote {
            uid: Some(uid),
            room: None,
            channel,
            operation,
            status,
            ok: error.is_none(),
            latency: started.elapsed(),
            request,
            error,
        };
        self.store.note_call(&note).await
    }
}
