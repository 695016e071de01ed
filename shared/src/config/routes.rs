//! `[[routes]]`: which source goes where. The first that matches decides, so their order counts.
use super::Room;
use super::document::{Reading, Section};
use super::room::DRESSES;
use crate::message::Priority;
use crate::route::{Action, Pattern, Route, Routes};

const PRIORITIES: [(&str, Priority); 3] =
    [("normal", Priority::Normal), ("high", Priority::High), ("urgent", Priority::Urgent)];

/// Reads `[[routes]]`; their rooms must exist.
pub(super) fn read(root: &mut Section, reading: &mut Reading<'_>, rooms: &[Room]) -> Routes {
    let mut routes = Vec::new();
    for mut section in root.sections(reading, "routes") {
        routes.extend(route(&mut section, reading, rooms));
        section.end(reading);
    }
    Routes(routes)
}

/// `None` only where a fault was noted.
fn route(section: &mut Section, reading: &mut Reading<'_>, rooms: &[Room]) -> Option<Route> {
    let pattern = Pattern::parse(&section.required_text(reading, "pattern"));
    if let Err(error) = &pattern {
        section.fault(reading, "pattern", error.to_string());
    }
    let action = section.word(reading, "action", &[("post", Action::Post), ("block", Action::Block)]);
    let action = action.unwrap_or(Action::Post);
    let names = section.texts(reading, "rooms");
    match action {
        Action::Post if names.is_empty() => section.fault(reading, "rooms", "needs at least one room's name"),
        Action::Block if !names.is_empty() => {
            section.fault(reading, "rooms", "what is blocked goes to no room");
        }
        _ => {}
    }
    for (place, name) in names.iter().enumerate() {
        let key = format!("rooms[{place}]");
        if !rooms.iter().any(|room| room.name == *name) {
            section.fault(reading, &key, "names no room of [[rooms]]");
        }
        if names[..place].contains(name) {
            section.fault(reading, &key, "names a room twice");
        }
    }
    let priority = section.word(reading, "priority", &PRIORITIES).unwrap_or(Priority::Normal);
    Some(Route {
        pattern: pattern.ok()?,
        action,
        rooms: names,
        dress: section.word(reading, "dress", &DRESSES),
        priority,
        age: section.duration(reading, "age").unwrap_or(priority.age()),
        patience: section.duration(reading, "patience"),
    })
}
