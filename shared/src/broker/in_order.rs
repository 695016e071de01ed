//! Many messages on one channel, in order, with their confirms in flight together.
use lapin::Confirmation;
use lapin::options::BasicPublishOptions;

use super::connection::within;
use super::error::PUBLISHING;
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

/// What became of one message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// The broker has it.
    Confirmed,
    /// A queue would not have it, being full perhaps; others may have it all the same.
    Nacked,
    /// No word came. It may be there.
    Unanswered,
    /// It was never sent, or into an exchange that is not there: nobody has it.
    Unsent,
}

/// What became of several messages.
#[derive(Debug)]
pub struct Published {
    /// The fate of each, in their order.
    pub fates: Vec<Fate>,
    /// Why some were not sent or not answered.
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
        let mut fates = vec![Fate::Unsent; messages.len()];
        let outcome = match self.lease().await {
            Ok(leased) => {
                let sent = self.send_in_order(&leased, exchange, messages, mandatory, &mut fates).await;
                self.settle(leased, sent).await
            }
            Err(error) => Err(error),
        };
        if matches!(outcome, Err(BrokerError::Refused { cause: Cause::Code(404), .. })) {
            for fate in fates.iter_mut().filter(|fate| **fate == Fate::Unanswered) {
                *fate = Fate::Unsent;
            }
        }
        Published { fates, error: outcome.err() }
    }

    async fn send_in_order(
        &self,
        leased: &Leased,
        exchange: &str,
        messages: &[Outgoing],
        mandatory: bool,
        fates: &mut [Fate],
    ) -> Result<(), BrokerError> {
        let (limit, during) = (self.limits.answer, PUBLISHING);
        let failed = |error: &lapin::Error| BrokerError::of(during, error);
        let exchange = short("exchange", exchange)?;
        let mut outcome = Ok(());
        let mut waiting = Vec::with_capacity(messages.len());
        for (message, fate) in messages.iter().zip(&mut *fates) {
            let (key, properties) = (short("key", message.key)?, message.props.to_amqp()?);
            let options = BasicPublishOptions { mandatory, ..BasicPublishOptions::default() };
            let sending = leased.channel.basic_publish(exchange.clone(), key, options, &message.body, properties);
            *fate = Fate::Unanswered;
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
        for (confirm, fate) in waiting.into_iter().zip(fates.iter_mut()) {
            let error = match within(limit, during, failed, confirm).await {
                Ok(Confirmation::Ack(Some(_))) => {
                    returned = true;
                    BrokerError::Unroutable
                }
                Ok(Confirmation::Ack(None)) => {
                    *fate = Fate::Confirmed;
                    continue;
                }
                Ok(Confirmation::Nack(_)) => {
                    *fate = Fate::Nacked;
                    continue;
                }
                Ok(Confirmation::NotRequested) => BrokerError::Lost { during, cause: Cause::Closed },
                Err(error) => error,
            };
            let silent = error.is_connection();
            outcome = match outcome {
                // That sending more found the channel closed says less than why the broker closed it.
                Err(BrokerError::Lost { cause: Cause::Closed, .. }) if !silent => Err(error),
                told => told.and(Err(error)),
            };
            if silent {
                break;
            }
        }
        if returned {
            fates.iter_mut().filter(|fate| **fate == Fate::Confirmed).for_each(|fate| *fate = Fate::Unanswered);
        }
        outcome
    }
}
