//! Many messages on one channel, in order, with their confirms in flight together.
use lapin::Confirmation;
use lapin::options::BasicPublishOptions;

use super::connection::within;
use super::{Broker, BrokerError, Cause, Leased, Props, short};

/// A message to be published.
#[derive(Debug)]
pub struct Outgoing {
    /// The routing key.
    pub key: &'static str,
    /// The payload.
    pub body: Vec<u8>,
    /// What travels with it.
    pub props: Props,
}

/// What became of several messages.
#[derive(Debug)]
pub struct Published {
    /// Which of them the broker has said to have, in their order. Others may be there, too.
    pub confirmed: Vec<bool>,
    /// Why not all.
    pub error: Option<BrokerError>,
}

impl Broker {
    /// Publishes persistent messages one after the other and waits for the broker's word for each. Nobody need be bound
    /// to the exchange: what no queue takes is dropped and confirmed. A lost connection is not tried again.
    pub async fn publish_in_order(&self, exchange: &str, messages: &[Outgoing]) -> Published {
        self.send_all(exchange, messages, false).await
    }

    /// Puts persistent messages into queues (each one's key is the queue's name), in order, and waits for the broker's
    /// word for each. Where a queue is missing none counts as confirmed: lapin gives a returned message to whichever
    /// confirm comes next. A lost connection is not tried again.
    pub async fn put_in_order(&self, messages: &[Outgoing]) -> Published {
        self.send_all("", messages, true).await
    }

    async fn send_all(&self, exchange: &str, messages: &[Outgoing], mandatory: bool) -> Published {
        let mut confirmed = vec![false; messages.len()];
        let outcome = match self.lease().await {
            Ok(leased) => {
                let sent = self.send_in_order(&leased, exchange, messages, mandatory, &mut confirmed).await;
                self.settle(leased, sent).await
            }
            Err(error) => Err(error),
        };
        Published { confirmed, error: outcome.err() }
    }

    async fn send_in_order(
        &self,
        leased: &Leased,
        exchange: &str,
        messages: &[Outgoing],
        mandatory: bool,
        confirmed: &mut [bool],
    ) -> Result<(), BrokerError> {
        let (limit, during) = (self.limits.answer, "publishing");
        let failed = |error: &lapin::Error| BrokerError::of(during, error);
        let exchange = short("exchange", exchange)?;
        let mut outcome = Ok(());
        let mut waiting = Vec::with_capacity(messages.len());
        for message in messages {
            let (key, properties) = (short("key", message.key)?, message.props.to_amqp()?);
            let options = BasicPublishOptions { mandatory, ..BasicPublishOptions::default() };
            let sending = leased.channel.basic_publish(exchange.clone(), key, options, &message.body, properties);
            match within(limit, during, failed, sending).await {
                Ok(confirm) => waiting.push(confirm),
                Err(error) => {
                    outcome = Err(error);
                    break;
                }
            }
        }
        // What was sent may have been taken, though sending more failed.
        let mut returned = false;
        for (confirm, confirmed) in waiting.into_iter().zip(confirmed.iter_mut()) {
            let lost = BrokerError::Lost { during, cause: Cause::Closed };
            let answer = match within(limit, during, failed, confirm).await {
                Ok(Confirmation::Ack(Some(_)) | Confirmation::Nack(Some(_))) => {
                    returned = true;
                    Err(BrokerError::Unroutable)
                }
                Ok(Confirmation::Ack(None)) => Ok(()),
                Ok(Confirmation::Nack(None)) => Err(BrokerError::Nacked),
                Ok(Confirmation::NotRequested) => Err(lost),
                Err(error) => Err(error),
            };
            *confirmed = answer.is_ok();
            let silent = answer.as_ref().is_err_and(BrokerError::is_connection);
            outcome = outcome.and(answer);
            if silent {
                break;
            }
        }
        if returned {
            confirmed.fill(false);
        }
        outcome
    }
}
