//! What is to become of a message, before anything is stored: a pure judgement, with its reason.
use std::time::Duration;

use jiff::Timestamp;

use crate::compose::{Draft, Medium, Said, compose};
use crate::config::Settings;
use crate::delivery::Verdict;
use crate::message::{Message, Priority};
use crate::picture::Missing;
use crate::route::{Action, Route};

/// Which door a message came in by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Door {
    /// `POST /send`.
    Http,
    /// RabbitMQ.
    RabbitMq,
    /// A command typed in the chat, answered.
    Chat,
    /// Talkback itself has something to say.
    Talkback,
}

impl Door {
    /// As stored.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::RabbitMq => "rabbitmq",
            Self::Chat => "chat",
            Self::Talkback => "talkback",
        }
    }
}

/// Where a producer waits for its reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplyTo {
    /// The queue, on the default exchange.
    pub queue: String,
    /// To be repeated.
    pub correlation_id: String,
}

/// A message at the door.
#[derive(Clone)]
pub struct Offer {
    /// What it is.
    pub message: Message,
    /// How it came.
    pub door: Door,
    /// The name of the key it was sent with.
    pub sent_by: Option<String>,
    /// Where its producer waits.
    pub reply: Option<ReplyTo>,
    /// When its producer will post by itself.
    pub deliver_by: Option<Timestamp>,
    /// When the broker stamped it.
    pub stamped_at: Option<Timestamp>,
    /// Goes this way, whatever the configured routes say: Talkback's own words.
    pub route: Option<Route>,
    /// As it came, for `rejected`.
    pub raw: Vec<u8>,
}

/// One delivery to be.
#[derive(Clone, Debug)]
pub struct PlannedDelivery {
    /// The room.
    pub room: String,
    /// Its parts.
    pub parts: Vec<Draft>,
    /// Pictures must be brought before it may begin.
    pub awaits_media: bool,
}

/// What is to become of a message.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Accepted, blocked or rejected.
    pub verdict: Verdict,
    /// Why, where it is not accepted.
    pub reason: Option<&'static str>,
    /// How urgent.
    pub priority: Priority,
    /// How long it is worth posting.
    pub age: Duration,
    /// Too old after this, where the producer says so.
    pub expires_at: Option<Timestamp>,
    /// Its producer posts by itself after this.
    pub deliver_by: Option<Timestamp>,
    /// Its producer waits for an answer.
    pub answer: bool,
    /// One for each room.
    pub deliveries: Vec<PlannedDelivery>,
}

/// Whether it is to be posted before all others, with or without the database.
#[must_use]
pub(super) fn is_urgent(offer: &Offer, settings: &Settings) -> bool {
    let route = offer.route.as_ref().or_else(|| settings.routes.find(&offer.message.source));
    route.is_some_and(|route| {
        route.action != Action::Block && offer.message.priority.unwrap_or(route.priority) == Priority::Urgent
    })
}

/// Plans one message.
///
/// Patience binds only a producer that can be answered: one that never hears of a success either never takes over
/// (then withdrawing would lose its message), or always does (then withdrawing would help nobody).
#[must_use]
pub fn plan(offer: &Offer, settings: &Settings) -> Plan {
    planned(offer, settings, true)
}

/// Plans one message that is posted at once, with the database away: no picture can be brought, and its parts say so.
#[must_use]
pub(super) fn plan_at_once(offer: &Offer, settings: &Settings) -> Plan {
    planned(offer, settings, false)
}

fn planned(offer: &Offer, settings: &Settings, pictures: bool) -> Plan {
    let message = &offer.message;
    let route = offer.route.as_ref().or_else(|| settings.routes.find(&message.source));
    let answer = offer.reply.is_some() || (message.wants_ack_url && settings.ack_url.is_some());
    let mut plan = Plan {
        verdict: Verdict::Rejected,
        reason: Some("no_route"),
        priority: message.priority.unwrap_or(Priority::Normal),
        age: Duration::ZERO,
        expires_at: message.expires_at,
        deliver_by: None,
        answer,
        deliveries: Vec::new(),
    };
    let Some(route) = route else { return plan };
    plan.priority = message.priority.unwrap_or(route.priority);
    plan.age = if plan.priority == route.priority { route.age } else { plan.priority.age() };
    if route.action == Action::Block {
        plan.verdict = Verdict::Blocked;
        plan.reason = Some("route");
        return plan;
    }
    plan.verdict = Verdict::Accepted;
    plan.reason = None;
    if answer {
        let patience = route.patience.zip(offer.stamped_at);
        let by_route = patience.and_then(|(patience, stamped)| stamped.checked_add(patience).ok());
        plan.deliver_by = offer.deliver_by.or(by_route);
    }
    let names = message.rooms.as_ref().unwrap_or(&route.rooms);
    let uploads = settings.groupme.access_token.is_some();
    let medium = |media| match Medium::of(media, uploads) {
        Medium::Coming if !pictures => Medium::Missing(Missing::GaveUp),
        medium => medium,
    };
    let media: Vec<Medium> = message.media.iter().map(medium).collect();
    let awaits_media = media.contains(&Medium::Coming);
    let said = Said { short_uid: message.uid.short(), body: message.body.as_str(), media: &media };
    for room in settings.rooms.iter().filter(|room| names.contains(&room.name)) {
        let Some(limits) = crate::channel::limits(&room.channel) else { continue };
        let dress = route.dress.unwrap_or(room.dress);
        let parts = compose(&said, dress, limits);
        plan.deliveries.push(PlannedDelivery { room: room.name.clone(), parts, awaits_media });
    }
    if plan.deliveries.is_empty() {
        plan.verdict = Verdict::Rejected;
        plan.reason = Some("no_room");
    }
    plan
}
