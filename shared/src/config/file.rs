//! What stands in the TOML: rooms, routes, exchanges and the smaller tables, and how they fit together.
use jiff::tz::TimeZone;

use super::document::{Reading, Section};
use super::{
    Chat, Lanes, Media, Records, Retention, Room, chat, exchange, lanes, media, records, retention, room, routes, send,
};
use crate::broker::Exchange;
use crate::route::{Routes, RoutingKey};
use crate::send_key::limit::Rate;

/// Everything that stands in the TOML.
pub(super) struct File {
    pub(super) rooms: Vec<Room>,
    pub(super) routes: Routes,
    pub(super) exchanges: Vec<Exchange>,
    pub(super) queue_keys: Vec<(String, RoutingKey)>,
    pub(super) lanes: Lanes,
    pub(super) media: Media,
    pub(super) zone: TimeZone,
    pub(super) retention: Retention,
    pub(super) records: Option<Records>,
    pub(super) chat: Chat,
    pub(super) send_rate: Rate,
}

/// Reads the document; what is at fault has its default, and the fault is noted.
pub(super) fn read(mut root: Section, reading: &mut Reading<'_>) -> File {
    let rooms = room::read(&mut root, reading);
    let routes = routes::read(&mut root, reading, &rooms);
    let exchanges = exchange::read(&mut root, reading);
    let file = File {
        records: records::read(&mut root, reading, &exchanges),
        chat: chat::read(&mut root, reading),
        send_rate: send::read(&mut root, reading),
        exchanges,
        queue_keys: queue_keys(&mut root, reading),
        lanes: lanes::read(&mut root, reading),
        media: media::read(&mut root, reading),
        zone: zone(&mut root, reading),
        retention: retention::read(&mut root, reading),
        rooms,
        routes,
    };
    root.end(reading);
    file
}

fn queue_keys(root: &mut Section, reading: &mut Reading<'_>) -> Vec<(String, RoutingKey)> {
    let mut section = root.section(reading, "queue_keys");
    let mut keys = Vec::new();
    for (queue, key) in section.named_texts(reading) {
        match RoutingKey::parse(&key) {
            Ok(key) => keys.push((queue, key)),
            Err(error) => section.fault(reading, &queue, error.to_string()),
        }
    }
    keys
}

fn zone(root: &mut Section, reading: &mut Reading<'_>) -> TimeZone {
    let mut section = root.section(reading, "time");
    let zone = section.text(reading, "zone").map(|name| TimeZone::get(&name));
    let zone = zone.unwrap_or(Ok(TimeZone::UTC)).unwrap_or_else(|_| {
        section.fault(reading, "zone", "must be a zone's name such as America/New_York");
        TimeZone::UTC
    });
    section.end(reading);
    zone
}
