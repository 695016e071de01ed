//! Which message a uid means.
use jiff::Timestamp;
use serde_json::json;

use super::*;

fn delivery(room: &str, state: &str) -> Value {
    let part = json!({ "n": 1, "kind": "text", "state": "waiting", "attempt": 0 });
    let event = json!({ "at": "1970-01-01T00:00:00+00:00", "from": null, "to": "queued", "cause": "accepted" });
    json!({ "room": room, "state": state, "cause": "accepted", "parts": [part], "events": [event] })
}

fn found(uid: &str, source: &str) -> Found {
    Found {
        uid: format!("{uid}@{source}"),
        given_uid: uid.to_owned(),
        short_uid: uid.split('-').next().unwrap().to_owned(),
        source: source.to_owned(),
        verdict: "accepted".to_owned(),
        verdict_reason: None,
        accepted_at: Timestamp::UNIX_EPOCH,
        deliveries: json!([delivery("a", "confirmed"), delivery("b", "queued")]),
    }
}

fn meant(uid: &str, source: Option<&str>) -> Vec<String> {
    let stored = vec![found("a-1", "source.standard"), found("a", "source.standard"), found("a", "source.ups")];
    narrow(stored, uid, source).into_iter().map(|found| found.uid).collect()
}

#[test]
fn a_full_uid_means_its_own_message_although_others_have_it_for_a_short_one() {
    assert_eq!(meant("a-1", None), ["a-1@source.standard"]);
    assert_eq!(meant("A", None), ["a@source.standard", "a@source.ups"]);
    assert_eq!(meant("a", Some("ups")), ["a@source.ups"]);
    let short = vec![found("b-1", "source.standard"), found("b-2", "source.standard")];
    assert_eq!(narrow(short, "b", None).len(), 2);
}

#[test]
fn the_source_may_be_asked_for_with_or_without_its_first_word() {
    let wanted = |uri: &str| {
        let request = lambda_http::http::Request::builder().uri(uri).body(Body::Empty).unwrap();
        wanted_source(&request)
    };
    assert_eq!(wanted("/messages/7?source=ups.a"), Some("ups.a".to_owned()));
    assert_eq!(wanted("/messages/7?x=1&source=source.ups%2Ea"), Some("ups.a".to_owned()));
    assert_eq!(wanted("/messages/7?sources=ups"), None);
    assert_eq!(wanted("/messages/7"), None);
}

#[test]
fn a_message_is_shown_with_its_least_far_delivery_as_its_state() {
    let stored = found("a-1", "source.standard");
    let shown = serde_json::to_value(whole(&stored).unwrap()).unwrap();
    assert_eq!((&shown["uid"], &shown["short_uid"]), (&json!("a-1"), &json!("a")));
    assert_eq!((&shown["verdict"], &shown["state"]), (&json!("accepted"), &json!("queued")));
    assert_eq!(shown["deliveries"], stored.deliveries, "all that the store tells of it");
    let blocked = Found { verdict: "blocked".to_owned(), ..found("a", "source.ups") };
    assert_eq!(state(&blocked), "blocked");
}
