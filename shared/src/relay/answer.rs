//! Answers for producers that wait: a reply on RabbitMQ, `POST ACK_URL` for the Twilio front end. Given after the last
//! part, up to three tries, recorded; a failed one never causes a second post.
use std::time::Duration;

use serde_json::json;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::Relay;
use super::dispatch::News;
use crate::broker::{BrokerError, Props};
use crate::store::StoreError;
use crate::store::answers::{CallNote, Due};

/// Tries inside one invocation.
const TRIES: usize = 3;

/// The front end takes its message back after 15 s in all: three tries must fit.
const ACK_LIMIT: Duration = Duration::from_secs(3);

impl Relay {
    /// Answers for deliveries as they finish, and tells of rooms as they are suspended, until no more can come.
    pub(super) async fn answer_finished(&self, mut told: mpsc::UnboundedReceiver<News>) {
        while let Some(first) = told.recv().await {
            let mut uids = Vec::new();
            let mut next = Some(first);
            while let Some(news) = next {
                match news {
                    News::Finished(uid) => uids.push(uid),
                    News::Suspended(room) => self.tell_suspended(&room).await,
                    News::Took | News::NotBefore(_) => {}
                }
                next = told.try_recv().ok();
            }
            if uids.is_empty() {
                continue;
            }
            if let Err(error) = self.answer(Some(&uids)).await {
                tracing::warn!(error = &error as &dyn std::error::Error, "answers wait for the next sweep");
            }
        }
    }

    /// Gives the answers that are due, of these messages or of all.
    pub(super) async fn answer(&self, uids: Option<&[String]>) -> Result<(), StoreError> {
        for due in self.store.take_answers(uids).await? {
            let replied = match &due.reply_to {
                Some(queue) => self.reply(&due, queue).await?,
                None => true,
            };
            let acknowledged = if due.ack_url { self.acknowledge(&due).await? } else { true };
            self.store.answered(&due.uid, replied && acknowledged).await?;
        }
        Ok(())
    }

    async fn reply(&self, due: &Due, queue: &str) -> Result<bool, StoreError> {
        let body = match &due.failure {
            None => json!({ "status": "success", "message_id": due.given_uid }),
            Some(reason) => json!({ "status": "failure", "message_id": due.given_uid, "reason": reason }),
        };
        let Some(broker) = &self.broker else { return Ok(false) };
        let props = Props { correlation_id: due.correlation_id.clone(), ..Props::default() };
        for _ in 0..TRIES {
            let started = Instant::now();
            let published = broker.publish("", queue, body.to_string().as_bytes(), &props, true).await;
            let error = published.as_ref().err().map(ToString::to_string);
            self.note(due, "amqp", "reply", None, started, &body, error.as_deref()).await?;
            match published {
                Ok(()) => return Ok(true),
                // The asker is gone, and its queue with it.
                Err(BrokerError::Unroutable) => return Ok(false),
                Err(_) => {}
            }
        }
        Ok(false)
    }

    /// 200: known; 404: the front end has given up waiting. Both are answers.
    async fn acknowledge(&self, due: &Due) -> Result<bool, StoreError> {
        let Some(url) = &self.settings.ack_url else { return Ok(true) };
        // Only a success is acknowledged: without one the front end posts by itself.
        if due.failure.is_some() {
            return Ok(true);
        }
        let body = json!({ "wbor_message_id": due.given_uid });
        let client = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .timeout(ACK_LIMIT)
            .tls_backend_preconfigured(crate::tls::web_client())
            .build()
            .map_err(|_| StoreError::Settings("the HTTP client cannot be built"))?;
        for _ in 0..TRIES {
            let started = Instant::now();
            let answer = client.post(url).json(&body).send().await;
            let status = answer.as_ref().ok().map(|r| r.status().as_u16());
            let known = matches!(status, Some(200..=299 | 404));
            let error = match status {
                Some(status) if !known => Some(format!("HTTP {status}")),
                Some(_) => None,
                None => Some("no answer".to_owned()),
            };
            self.note(due, "http", "ack", status, started, &body, error.as_deref()).await?;
            if known {
                return Ok(true);
            }
        }
        Ok(false)
    }

    #[expect(clippy::too_many_arguments, reason = "one fact each, for one row")]
    async fn note(
        &self,
        due: &Due,
        channel: &str,
        operation: &str,
        status: Option<u16>,
        started: Instant,
        request: &serde_json::Value,
        error: Option<&str>,
    ) -> Result<(), StoreError> {
        let note = CallNote {
            uid: Some(&due.uid),
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
