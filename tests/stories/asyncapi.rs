//! infra/asyncapi.yaml tells the truth: each payload of `events/` is right by its schema or is refused as it says, and
//! each queue, exchange and binding is what a real broker has after `declare`.
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use jsonschema::Validator;
use serde_json::{Value, json};
use talkback::amqp_event::{Delivery, PROBE_BODY, header};
use talkback::config::Settings;
use talkback::json::parse;
use talkback::route::{Pattern, RoutingKey};
use talkback::source::{Envelope, read};
use uuid::Uuid;

use crate::payloads::events;
use crate::vhost::Vhost;

fn document() -> Value {
    yaml_serde::from_str(include_str!("../../infra/asyncapi.yaml")).unwrap()
}

/// What checks one schema of the document.
fn schema(document: &Value, reference: &Value) -> Validator {
    let mut whole =
        json!({ "$schema": "http://json-schema.org/draft-07/schema#", "components": document["components"] });
    whole["allOf"] = json!([reference]);
    jsonschema::validator_for(&whole).unwrap_or_else(|error| panic!("{reference}: {error}"))
}

/// Panics unless what was really answered is as the document says.
pub fn assert_reply(reply: &Value) {
    let document = document();
    let faults = schema(&document, &json!({ "$ref": "#/components/schemas/reply" }));
    assert!(faults.is_valid(reply), "{reply} is no reply by infra/asyncapi.yaml");
}

/// Panics unless what was really published of our calls and lines is as the document says.
pub fn assert_record(delivery: &Delivery) {
    let document = document();
    let payload: Value = serde_json::from_slice(&delivery.body).unwrap();
    let headers = json!({ header::RECORD: delivery.headers.text(header::RECORD) });
    let name = match payload["type"].as_str() {
        Some("log") => "ourPost",
        Some("img") => "ourUpload",
        Some("callback") => "ourLine",
        _ => panic!("{payload} is no record"),
    };
    for (part, found) in [("payload", &payload), ("headers", &headers)] {
        let faults = schema(&document, &document["components"]["messages"][name][part]);
        let faults: Vec<String> = faults.iter_errors(found).map(|fault| fault.to_string()).collect();
        assert!(faults.is_empty(), "{found} is no {part} of {name} by infra/asyncapi.yaml: {faults:?}");
    }
}

fn object(value: &Value) -> impl Iterator<Item = (&str, &Value)> {
    value.as_object().into_iter().flatten().map(|(name, value)| (name.as_str(), value))
}

fn words<'a>(value: &'a Value, field: &str) -> Vec<&'a str> {
    value[field].as_array().into_iter().flatten().map(|word| word.as_str().unwrap()).collect()
}

/// The bytes of an event's body.
fn bytes(event: &Value) -> Vec<u8> {
    event["body"].as_str().map_or_else(|| event["body"].to_string(), str::to_owned).into_bytes()
}

#[test]
fn each_event_is_right_by_the_schema_of_its_message_or_is_said_not_to_be() {
    let document = document();
    let events: BTreeMap<String, Value> = events().into_iter().collect();
    let mut said = BTreeSet::new();
    for (name, message) in object(&document["components"]["messages"]) {
        let payload = schema(&document, &message["payload"]);
        let headers = message.get("headers").map(|headers| schema(&document, headers));
        for (list, is_right, is_read) in
            [("x-events", true, true), ("x-events-read", false, true), ("x-events-refused", false, false)]
        {
            for file in words(message, list) {
                let event = events.get(file).unwrap_or_else(|| panic!("{file} of {name} is no AMQP event"));
                assert!(said.insert(file.to_owned()), "{file} is listed twice");
                // As lenient as Talkback reads it: half a surrogate pair is a fault of the text, not of the form.
                let right = parse(&bytes(event)).is_ok_and(|body| payload.is_valid(&body));
                assert_eq!(right, is_right, "{file} by the schema of {name}");
                if let Some(headers) = &headers {
                    assert!(headers.is_valid(&event["headers"]), "the headers of {file} by the schema of {name}");
                }
                // What is blocked by its route is kept unread.
                if !["unposted", "ban", "unban"].contains(&name) {
                    assert_eq!(can_be_read(event), is_read, "{file} of {name}");
                }
            }
        }
    }
    assert_eq!(said, events.into_keys().collect(), "the events listed in infra/asyncapi.yaml, and those in events/");
}

fn can_be_read(event: &Value) -> bool {
    let key = RoutingKey::parse(event["key"].as_str().unwrap()).unwrap();
    let already_sent = event["headers"]["alreadysent"] == json!(true);
    let (zone, body) = (&jiff::tz::TimeZone::UTC, bytes(event));
    read(Envelope { key: &key, already_sent, fallback_uid: Uuid::nil(), zone, body: &body }).is_ok()
}

#[test]
fn each_event_comes_by_a_channel_that_has_its_message() {
    let document = document();
    let events: BTreeMap<String, Value> = events().into_iter().collect();
    for (name, message) in object(&document["components"]["messages"]) {
        for file in ["x-events", "x-events-read", "x-events-refused"].iter().flat_map(|list| words(message, list)) {
            let (exchange, key) = (&events[file]["exchange"], events[file]["key"].as_str().unwrap());
            let fits = |channel: &Value| {
                channel["bindings"]["amqp"]["exchange"]["name"] == *exchange
                    && leads(channel, key)
                    && object(&channel["messages"])
                        .any(|(_, one)| one["$ref"] == format!("#/components/messages/{name}"))
            };
            assert!(object(&document["channels"]).any(|(_, channel)| fits(channel)), "no channel brings {file}");
        }
    }
}

/// Whether a key is an address of the channel: `{…}` at its end stands for some words, or for one of those it lists.
fn leads(channel: &Value, key: &str) -> bool {
    let address = channel["address"].as_str().unwrap_or("");
    let Some((before, parameter)) = address.split_once('{') else { return address == key };
    let Some(rest) = key.strip_prefix(before).filter(|rest| !rest.is_empty()) else { return false };
    let listed = words(&channel["parameters"][parameter.trim_end_matches('}')], "enum");
    listed.is_empty() || listed.contains(&rest)
}

#[test]
fn what_is_referred_to_is_there() {
    fn references<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
        match value {
            Value::Object(fields) => {
                found.extend(fields.get("$ref").and_then(Value::as_str));
                fields.values().for_each(|value| references(value, found));
            }
            Value::Array(items) => items.iter().for_each(|item| references(item, found)),
            _ => {}
        }
    }
    let document = document();
    let mut found = Vec::new();
    references(&document, &mut found);
    assert!(found.len() > 100, "only {} references", found.len());
    for reference in &found {
        let there = reference.strip_prefix('#').and_then(|pointer| document.pointer(pointer));
        assert!(there.is_some(), "{reference} leads nowhere");
    }
    for kind in ["messages", "schemas"] {
        for (name, _) in object(&document["components"][kind]) {
            let pointer = format!("#/components/{kind}/{name}");
            assert!(found.contains(&pointer.as_str()), "nothing uses {name} of {kind}");
        }
    }
}

#[test]
fn the_headers_are_called_as_the_code_calls_them() {
    let document = document();
    let named = |schema: &str| -> BTreeSet<String> {
        object(&document["components"]["schemas"][schema]["properties"]).map(|(name, _)| name.to_owned()).collect()
    };
    let set = |names: &[&str]| -> BTreeSet<String> { names.iter().map(|name| (*name).to_owned()).collect() };
    let producers = [header::ALREADY_SENT, header::DELIVER_BY, header::UID];
    let ours = [
        header::ROUTING_KEY,
        header::SOURCE_EXCHANGE,
        header::STAMP_TIME,
        header::UID,
        header::DEAD_COUNT,
        header::ASIDE,
        header::OWN,
        header::OWN_PROOF,
    ];
    assert_eq!(named("producersHeaders"), set(&producers));
    assert_eq!(named("ourHeaders"), set(&[producers.as_slice(), &ours].concat()));
    assert_eq!(named("recordHeaders"), set(&[header::RECORD]));
    let probe = &document["components"]["messages"]["probe"];
    assert!(probe["headers"]["properties"].get(header::PROBE).is_some());
    assert_eq!(probe["payload"]["const"].as_str().unwrap().as_bytes(), PROBE_BODY);
}

#[test]
fn the_replies_are_as_it_says() {
    let document = document();
    let reply = schema(&document, &json!({ "$ref": "#/components/schemas/reply" }));
    let shown = document["components"]["messages"]["reply"]["examples"].as_array().unwrap();
    let words: Vec<&Value> = shown.iter().map(|example| &example["payload"]["status"]).collect();
    assert_eq!(words, ["taken", "success", "failure"]);
    for example in shown {
        assert!(reply.is_valid(&example["payload"]), "{example}");
    }
    for right in [
        json!({ "status": "success", "message_id": "u" }),
        json!({ "status": "success", "message_id": "u", "reason": "banned" }),
        json!({ "status": "failure", "message_id": "u", "reason": "expired" }),
        json!({ "status": "taken", "message_id": "u" }),
    ] {
        assert!(reply.is_valid(&right), "{right}");
    }
    for wrong in [
        json!({ "status": "failure", "message_id": "u" }),
        json!({ "status": "taken", "message_id": "u", "reason": "first_part" }),
        json!({ "status": "begun", "message_id": "u" }),
        json!({ "status": "success" }),
        json!({ "status": "success", "message_id": 4 }),
        json!("success"),
    ] {
        assert!(!reply.is_valid(&wrong), "{wrong}");
    }
}

#[test]
fn our_records_are_as_strict_as_it_says() {
    let document = document();
    let valid = |name: &str, payload: &Value| {
        schema(&document, &document["components"]["messages"][name]["payload"]).is_valid(payload)
    };
    let post = json!({
        "text": "Hello", "bot_id": "staff", "source": "standard", "code": 202, "statuscode": null, "type": "log",
        "wbor_message_id": "42", "timestamp": "2026-11-20T17:00:00Z",
    });
    let upload = json!({
        "raw_img": null, "bot_id": null, "source": null, "code": null, "statuscode": null, "type": "img",
        "wbor_message_id": null, "timestamp": "2026-11-20T17:00:00Z",
    });
    let line = json!({
        "group_id": "1", "id": "2", "sender_type": "user", "bot_id": "staff", "source": "groupme.callback",
        "code": 200, "statuscode": 200, "type": "callback", "wbor_message_id": null,
    });
    for (name, right) in [("ourPost", post), ("ourUpload", upload), ("ourLine", line)] {
        assert!(valid(name, &right), "{right}");
        for (field, _) in object(&right) {
            let mut wrong = right.clone();
            wrong[field] = json!({});
            assert!(!valid(name, &wrong), "{wrong}");
            wrong.as_object_mut().unwrap().remove(field);
            assert!(!valid(name, &wrong), "{wrong}");
        }
    }
}

/// What the document says of all channels of one kind, by name.
fn told<'a>(document: &'a Value, kind: &str) -> BTreeMap<&'a str, &'a Value> {
    object(&document["channels"])
        .filter_map(|(_, channel)| Some((channel["bindings"]["amqp"][kind]["name"].as_str()?, channel)))
        .collect()
}

#[test]
fn every_exchange_and_pattern_is_the_examples() {
    let document = document();
    let settings = the_examples();
    let exchanges = told(&document, "exchange");
    for exchange in &settings.exchanges {
        assert!(exchanges.contains_key(exchange.name.as_str()), "{} is not in infra/asyncapi.yaml", exchange.name);
    }
    // Each address is bound, and has a route.
    for (name, channel) in object(&document["channels"]) {
        let Some(address) = channel["address"].as_str().filter(|_| channel["bindings"]["amqp"]["is"] == "routingKey")
        else {
            continue;
        };
        let key = RoutingKey::parse(&address.replace(['{', '}'], "")).unwrap();
        let exchange = channel["bindings"]["amqp"]["exchange"]["name"].as_str().unwrap();
        let bound = settings.exchanges.iter().find(|known| known.name == exchange).unwrap_or_else(|| panic!("{name}"));
        assert!(bound.patterns.iter().any(|pattern| Pattern::parse(pattern).unwrap().matches(&key)), "{name}");
        assert!(settings.routes.find(&key).is_some(), "{name} has no route");
    }
}

/// The settings of infra/talkback.toml, for what is compared with the document; a story's station needs a database.
fn the_examples() -> Settings {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    let config = Path::new(env!("CARGO_MANIFEST_DIR")).join("../infra/talkback.toml");
    let vars = [
        ("DATABASE_URL", "postgres://user:password@127.0.0.1/database".to_owned()),
        ("TALKBACK_CONFIG", config.to_str().unwrap().to_owned()),
        ("TALKBACK_DATA_KEYS", format!("k1:{}", STANDARD.encode([7; 32]))),
        ("TALKBACK_LOOKUP_KEY", STANDARD.encode([9; 32])),
        ("GROUPME_BOT_ID", crate::station::BOT.to_owned()),
        ("GROUPME_GROUP_ID", crate::station::GROUP.to_owned()),
    ];
    Settings::from_vars(&vars.map(|(name, value)| (name.to_owned(), value)).into()).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_queue_exchange_and_binding_is_what_a_broker_has_after_declaring() {
    let vhost = Vhost::new().await;
    let settings = the_examples();
    vhost.broker.declare(&settings.exchanges, settings.lanes.retry_ttl).await.unwrap();
    let document = document();
    let text = |value: &Value, field: &str| value[field].as_str().unwrap().to_owned();

    let queues = told(&document, "queue");
    let wanted: BTreeMap<String, Value> =
        queues.iter().map(|(name, channel)| ((*name).to_owned(), channel["x-arguments"].clone())).collect();
    let there = vhost.listed("queues").await;
    let found = there.iter().map(|queue| (text(queue, "name"), queue["arguments"].clone())).collect();
    assert_eq!(wanted, found);
    assert!(there.iter().all(|queue| {
        let told = &queues[queue["name"].as_str().unwrap()]["bindings"]["amqp"]["queue"];
        queue["durable"] == told["durable"] && queue["auto_delete"] == told["autoDelete"]
    }));

    let form = |name: &str, exchange: &Value, auto_delete: &str| {
        (name.to_owned(), text(exchange, "type"), exchange["durable"] == true, exchange[auto_delete] == true)
    };
    let channels = object(&document["channels"]).map(|(_, channel)| &channel["bindings"]["amqp"]["exchange"]);
    let wanted: BTreeSet<_> =
        channels.filter_map(|exchange| Some(form(exchange["name"].as_str()?, exchange, "autoDelete"))).collect();
    let there = vhost.listed("exchanges").await;
    let own = |name: &str| !name.is_empty() && !name.starts_with("amq.");
    let found = there.iter().filter(|exchange| own(exchange["name"].as_str().unwrap()));
    let found: BTreeSet<_> =
        found.map(|exchange| form(exchange["name"].as_str().unwrap(), exchange, "auto_delete")).collect();
    assert_eq!(wanted, found);

    let mut wanted = BTreeSet::new();
    for (name, channel) in queues.into_iter().chain(told(&document, "exchange")) {
        for binding in channel["x-bindings"].as_array().into_iter().flatten() {
            wanted.insert((text(binding, "exchange"), text(binding, "key"), name.to_owned()));
        }
    }
    let there = vhost.listed("bindings").await;
    // The default exchange leads to every queue by its name.
    let found = there.iter().filter(|binding| binding["source"] != "");
    let found: BTreeSet<_> = found
        .map(|binding| (text(binding, "source"), text(binding, "routing_key"), text(binding, "destination")))
        .collect();
    assert_eq!(wanted, found);
    vhost.broker.close().await;
    vhost.gone().await;
}
