//! The schemas: of each type, and of the fields whose type does not say all. Limits and words come from where they are
//! enforced.
use schemars::generate::{SchemaGenerator, SchemaSettings};
use schemars::{Schema, json_schema};
use serde_json::{Map, Value, json};
use talkback::delivery::{DeliveryState, PartState, RoomState, Verdict};
use talkback::message::Priority;

use crate::groupme::bot_post::{ANNOTATIONS, BotPost, PICTURES};
use crate::health::Health;
use crate::look_up::LookedUp;
use crate::message::{LONGEST_SOURCE, LONGEST_URL, MOST_IMAGES};
use crate::post::Stored;
use crate::problem::{GroupMeError, ProblemDocument};
use crate::send_request::SendRequest;
use crate::stats::StatsDocument;

/// An https address with a host and without credentials.
const WEB_ADDRESS: &str = "^[hH][tT][tT][pP][sS]://[^/?#@\\s]+([/?#][!-~]*)?$";

/// Every schema, by its name.
pub(super) fn schemas() -> Map<String, Value> {
    let settings = || {
        SchemaSettings::draft2020_12().with(|settings| {
            settings.definitions_path = "/components/schemas".into();
            settings.meta_schema = None;
        })
    };
    let mut read = settings().for_deserialize().into_generator();
    read.subschema_for::<SendRequest>();
    read.subschema_for::<BotPost>();
    let mut written = settings().for_serialize().into_generator();
    written.subschema_for::<Stored>();
    written.subschema_for::<LookedUp>();
    written.subschema_for::<Health>();
    written.subschema_for::<StatsDocument>();
    written.subschema_for::<ProblemDocument>();
    written.subschema_for::<GroupMeError>();
    let mut schemas = read.take_definitions(true);
    schemas.extend(written.take_definitions(true));
    schemas.insert("GroupMeLine".to_owned(), groupme_line());
    schemas
}

/// `body` or `images` says something.
pub(crate) fn something_to_say() -> Value {
    let body = json!({ "required": ["body"], "properties": { "body": { "type": "string", "pattern": "\\S" } } });
    let images = json!({ "required": ["images"], "properties": { "images": { "type": "array", "minItems": 1 } } });
    json!([body, images])
}

/// `text` or a picture says something.
pub(crate) fn something_to_post() -> Value {
    let said =
        |field: &str| json!({ "required": [field], "properties": { field: { "type": "string", "pattern": "\\S" } } });
    let picture = json!({ "required": ["type"], "properties": { "type": { "enum": PICTURES } } });
    let attached = json!({
        "required": ["attachments"], "properties": { "attachments": { "type": "array", "contains": picture } },
    });
    json!([said("text"), said("picture_url"), attached])
}

/// Adds to what the type of a field says already: that it may be left out, or null.
fn say(schema: &mut Schema, more: Value) {
    if let Value::Object(more) = more {
        schema.ensure_object().extend(more);
    }
}

pub(crate) fn source(schema: &mut Schema) {
    say(
        schema,
        json!({
            "type": ["string", "null"], "maxLength": LONGEST_SOURCE, "default": "standard",
            "pattern": "^(?!source(\\.|$))[a-z0-9_-]+(\\.[a-z0-9_-]+)*$",
        }),
    );
}

fn web_address() -> Value {
    json!({ "type": "string", "format": "uri", "maxLength": LONGEST_URL, "pattern": WEB_ADDRESS })
}

pub(crate) fn images(schema: &mut Schema) {
    say(schema, json!({ "type": ["array", "null"], "items": web_address(), "maxItems": MOST_IMAGES }));
}

pub(crate) fn picture_url(schema: &mut Schema) {
    say(schema, json!({ "anyOf": [web_address(), { "enum": ["", null] }] }));
}

pub(crate) fn attachments(schema: &mut Schema) {
    let picture = json!({
        "type": "object", "description": "A picture.", "required": ["type", "url"],
        "properties": { "type": { "enum": PICTURES }, "url": web_address() },
    });
    let annotation = json!({
        "type": "object", "description": "What only annotates the text.", "required": ["type"],
        "properties": { "type": { "enum": ANNOTATIONS } },
    });
    say(schema, json!({ "type": ["array", "null"], "items": { "oneOf": [picture, annotation] } }));
}

pub(crate) fn uid(schema: &mut Schema) {
    say(
        schema,
        json!({ "type": ["string", "integer", "null"], "minLength": 1, "maxLength": 64, "pattern": "^[!-~]+$" }),
    );
}

pub(crate) fn priority(schema: &mut Schema) {
    let words = [Priority::Normal, Priority::High, Priority::Urgent].map(|priority| json!(priority.as_str()));
    let words = [&words[..], &[Value::Null]].concat();
    say(schema, json!({ "enum": words }));
}

pub(crate) fn delivery_state(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "enum": DeliveryState::ALL.map(DeliveryState::as_str) })
}

pub(crate) fn optional_delivery_state(_: &mut SchemaGenerator) -> Schema {
    let words = DeliveryState::ALL.map(|state| json!(state.as_str()));
    let words = [&words[..], &[Value::Null]].concat();
    json_schema!({ "enum": words })
}

pub(crate) fn message_state(_: &mut SchemaGenerator) -> Schema {
    let verdicts = Verdict::ALL.map(Verdict::as_str);
    let words = [&DeliveryState::ALL.map(DeliveryState::as_str)[..], &verdicts].concat();
    json_schema!({ "type": "string", "enum": words })
}

pub(crate) fn verdict(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "enum": Verdict::ALL.map(Verdict::as_str) })
}

pub(crate) fn part_state(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "enum": PartState::ALL.map(PartState::as_str) })
}

pub(crate) fn room_state(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "enum": RoomState::ALL.map(RoomState::as_str) })
}

pub(crate) fn moment(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "format": "date-time" })
}

pub(crate) fn optional_moment(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": ["string", "null"], "format": "date-time" })
}

/// What GroupMe sends for each line said in a room. It is read leniently: unknown fields, types and events are fine.
fn groupme_line() -> Value {
    let id = |what: &str| json!({ "type": ["string", "integer"], "description": what });
    let text = |what: &str| json!({ "type": ["string", "null"], "description": what });
    json!({
        "title": "GroupMeLine", "type": "object",
        "description": "A line said in a room, as GroupMe tells its bots. Read leniently: only the two ids must be there.",
        "required": ["group_id", "id"],
        "properties": {
            "group_id": id("The group; one that a room is in."),
            "id": id("The line; the same one may come again."),
            "text": text("What was said; empty for a picture."),
            "name": text("Who said it."),
            "sender_id": id("Who said it."),
            "sender_type": { "type": "string", "description": "`user`, `bot`, `system` or `service`." },
            "user_id": id("Who said it."),
            "system": { "type": "boolean", "description": "Whether GroupMe itself says it." },
            "attachments": { "type": "array", "items": { "type": "object" }, "description": "Pictures and others." },
        },
    })
}
