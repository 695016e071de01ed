//! The channels of one dispatch: new clients each time, since after a thaw kept-alive connections are dead; and shared by
//! its lanes, for a client is slow to make and keeps connections.
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::Relay;
use crate::channel::Channel;
use crate::config::Room;

/// Made when they are needed.
#[derive(Default)]
pub(super) struct Channels(Mutex<HashMap<String, Arc<dyn Channel>>>);

impl Channels {
    /// The channel of a room; `None` if it cannot be made, which is logged.
    pub(super) fn of(&self, relay: &Relay, room: &Room) -> Option<Arc<dyn Channel>> {
        let mut made = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(channel) = made.get(&room.channel) {
            return Some(Arc::clone(channel));
        }
        match relay.channel(room) {
            Ok(channel) => {
                let channel: Arc<dyn Channel> = channel.into();
                made.insert(room.channel.clone(), Arc::clone(&channel));
                Some(channel)
            }
            Err(error) => {
                tracing::error!(room = room.name, error = &error as &dyn std::error::Error, "channel cannot be made");
                None
            }
        }
    }
}
