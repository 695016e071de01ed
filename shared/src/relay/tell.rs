//! What Talkback itself has to say in a room: that an urgent message expired, that a producer took over and told nothing,
//! that another room is wrong. Idempotent: the uid follows from what is told.
use std::time::Duration;

use uuid::Uuid;

use super::Relay;
use super::plan::{Door, Offer};
use crate::compose::Dress;
use crate::message::{Message, Priority, Uid};
use crate::route::{Action, Pattern, Route, RoutingKey};
use crate::store::StoreError;
use crate::text::Text;

/// Keeps our own messages' uids apart.
const NAMESPACE: Uuid = Uuid::from_u128(0x1d0c_6d5c_47a5_4a8a_8f0e_9a51_44c2_7b10);

impl Relay {
    /// Something to say in these rooms, in plain dress; said once for each `name`.
    pub(crate) fn words(&self, source: &str, door: Door, name: &str, rooms: &[String], text: &str) -> Option<Offer> {
        let source = RoutingKey::parse(source).ok()?;
        let priority = Priority::High;
        let message = Message {
            uid: Uid::from_uuid(Uuid::new_v5(&NAMESPACE, name.as_bytes())),
            source,
            sender: None,
            body: Text::clean(text),
            media: Vec::new(),
            priority: Some(priority),
            rooms: None,
            expires_at: None,
            wants_ack_url: false,
        };
        let route = Route {
            pattern: Pattern::parse("#").ok()?,
            action: Action::Post,
            rooms: rooms.to_vec(),
            dress: Some(Dress::Plain),
            priority,
            age: priority.age(),
            patience: None,
        };
        let (sent_by, reply, deliver_by, stamped_at) = (None, None, None, None);
        Some(Offer { message, door, sent_by, reply, deliver_by, stamped_at, route: Some(route), raw: Vec::new() })
    }

    /// Says in its room, in one line, that an urgent message expired. An hour's age: nobody need be told later.
    pub(super) async fn tell_expired(&self) -> Result<(), StoreError> {
        for lost in self.store.untold().await? {
            let text = format!(
                "⚠ An urgent message from {} could not be posted within {} and has expired ({}).",
                lost.source,
                spoken(lost.waited),
                lost.short_uid
            );
            // A replayed one may expire again, and that is news.
            let name = format!("expired/{}/{}", lost.delivery, lost.waited.as_millis());
            let offer = self.words("source.talkback.expired", Door::Talkback, &name, &[lost.room], &text);
            if let Some(offer) = offer {
                self.accept(&[offer]).await?;
            }
            self.store.told(lost.delivery).await?;
        }
        Ok(())
    }

    /// Says in its room, in one line for all that are late at once, that messages were left to their producers and no
    /// record came: they may be nowhere.
    pub(super) async fn tell_left(&self) -> Result<(), StoreError> {
        let within = self.settings.lanes.record_within;
        for left in self.store.left(within).await? {
            let (room, count, uids) = (left.room, left.count, left.short_uids.join(", "));
            tracing::error!(
                room,
                count,
                uids,
                "messages were left to their producers, and none has told that it posted them"
            );
            let within = spoken(within);
            let text = if count == 1 {
                format!(
                    "⚠ A message from {} came too late to be posted ({uids}). Its producer was to post it by itself, and \
                     has not told within {within} that it did: it may be missing here.",
                    left.source
                )
            } else {
                let more =
                    if usize::try_from(count).is_ok_and(|count| count > left.short_uids.len()) { ", …" } else { "" };
                format!(
                    "⚠ {count} messages came too late to be posted ({uids}{more}), the first from {}. Their producers were \
                     to post them by themselves, and have not told within {within} that they did: they may be missing here.",
                    left.source
                )
            };
            let name = format!("left/{}", left.alarm);
            if let Some(mut offer) = self.words("source.talkback.left", Door::Talkback, &name, &[room], &text) {
                offer.message.priority = Some(Priority::Urgent);
                self.accept(&[offer]).await?;
            }
            self.store.left_told(left.alarm).await?;
        }
        Ok(())
    }

    /// Says in one line that a mute is over, and how many of what it held.
    pub(super) async fn tell_unmuted(&self) -> Result<(), StoreError> {
        for over in self.store.mutes_over().await? {
            let text = format!("The mute of {} is over: {}.", over.pattern, crate::command::unmute::told(&over.held));
            // One that is prolonged now ends again.
            let name = format!("unmuted/{}/{}", over.id, over.until);
            if let Some(offer) = self.words("source.talkback.unmuted", Door::Talkback, &name, &[over.room], &text) {
                self.accept(&[offer]).await?;
            }
            self.store.mute_told(over.id).await?;
        }
        Ok(())
    }

    /// Raises the alarm for rooms whose address or token is wrong: in the log, and in the other rooms.
    pub(super) async fn tell_suspended(&self) -> Result<(), StoreError> {
        for (room, since) in self.store.suspended(&self.room_names()).await? {
            tracing::error!(
                room,
                "room suspended: the provider says that its address or token is wrong; nothing is lost, it waits"
            );
            let others: Vec<String> = self.room_names().into_iter().filter(|name| *name != room).collect();
            if others.is_empty() {
                continue;
            }
            let text = format!(
                "⚠ Nothing can be posted to the room “{room}”: its bot is unknown to GroupMe. Messages for it wait."
            );
            // Once an hour is enough, should it be opened and fail again.
            let name = format!("suspended/{room}/{}", since.as_second() / 3600);
            if let Some(offer) = self.words("source.talkback.suspended", Door::Talkback, &name, &others, &text) {
                self.accept(&[offer]).await?;
            }
        }
        Ok(())
    }
}

/// A time as people say it, in its largest unit.
pub(crate) fn spoken(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds / 60),
        _ => format!("{} h", seconds / 3600),
    }
}
