//! The station's reports: the columns that they know, by the names of the wire.
use std::collections::BTreeSet;

use serde_json::{Value, json};
use uuid::Uuid;

use crate::events::event;
use crate::station::{BOT, GROUP, Station};

/// The names of an event's fields.
fn fields(events: &[&str]) -> BTreeSet<String> {
    let body = |name: &&str| event(name)["body"].as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    events.iter().flat_map(body).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_field_that_the_stations_programs_send_has_its_column_with_both_codes_and_the_time() {
    let station = Station::open().await;
    let db = station.db().await;
    for (view, events, more) in [
        ("groupme", &["groupme-msg", "groupme-msg-picture", "groupme-img"][..], &["code", "statuscode"][..]),
        ("groupme_callbacks", &["groupme-callback"][..], &["statuscode"][..]),
        ("messages_received", &["twilio-sms-incoming", "twilio-sms-incoming-pictures"][..], &[][..]),
    ] {
        let mut wanted = fields(events);
        wanted.extend(more.iter().chain(&["timestamp"]).map(|name| (*name).to_owned()));
        for n in (0..10).filter(|_| view == "messages_received") {
            wanted.extend([format!("MediaUrl{n}"), format!("MediaContentType{n}")]);
        }
        let columns = "select column_name::text from information_schema.columns
                       where table_schema = 'reports' and table_name = $1";
        let rows = db.query(columns, &[&view]).await.unwrap();
        let columns: BTreeSet<String> = rows.iter().map(|row| row.get(0)).collect();
        assert_eq!(columns, wanted, "{view}");
    }
    station.end().await;
}

/// The columns that are null in every row say why.
async fn check_nulls(station: &Station, view: &str, row: &Value) {
    let comments = "select attname::text, coalesce(col_description(attrelid, attnum), '') from pg_attribute
                    where attrelid = $1::text::regclass and attnum > 0";
    let mut nulls = 0;
    for found in station.db().await.query(comments, &[&format!("reports.{view}")]).await.unwrap() {
        let (name, comment): (String, String) = (found.get(0), found.get(1));
        assert_eq!(row[&name].is_null(), comment.starts_with("Null: "), "{view}.{name}: {comment:?} {}", row[&name]);
        nulls += usize::from(row[&name].is_null());
    }
    assert!(nulls > 5, "{row}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reports_read_what_was_called_said_and_received_and_nothing_that_is_sealed() {
    let mut station = Station::open().await;
    station.start_dispatcher();
    let uids: Vec<String> = (0..3).map(|_| Uuid::new_v4().to_string()).collect();
    let mut listener = event("twilio-sms-incoming")["body"].clone();
    listener["wbor_message_id"] = json!(uids[0]);
    listener["Body"] = json!("Who sang that?");
    let record = json!({ "text": "by its producer", "bot_id": BOT, "source": "standard", "code": 202, "type": "log",
                         "picture_url": "https://i.groupme.com/1.jpeg.a", "wbor_message_id": uids[1] });
    let image = json!({ "raw_img": "https://camera.example.org/now.jpg", "bot_id": BOT, "source": "standard", "code": 415,
                        "type": "img", "wbor_message_id": uids[1] });
    station.consume(&[Station::message("source.groupme.msg", &record)]).await;
    station.consume(&[Station::message("source.groupme.img", &image)]).await;
    station.consume(&[Station::message("source.twilio.sms.incoming", &listener)]).await;
    station
        .consume(&[Station::message("source.standard", &json!({ "body": "hello", "wbor_message_id": uids[2] }))])
        .await;
    station.until("select state from deliveries order by id", &["sent", "confirmed", "confirmed"]).await;
    // The call that nobody finished: what was to be said is known from its part.
    let half = "insert into api_calls (uid, room, channel, operation, delivery, part, attempt, outcome)
                select uid, room, 'groupme', 'post', id, 1, 9, 'unknown' from deliveries where uid = $1";
    assert_eq!(station.db().await.execute(half, &[&uids[2]]).await.unwrap(), 1);
    let db = station.db().await;
    db.batch_execute("set search_path = reports").await.unwrap();
    let rows = async |query: &str| -> Vec<Value> {
        let rows = db.query(&format!("select to_json(x)::text from ({query}) x"), &[]).await.unwrap();
        rows.iter().map(|row| serde_json::from_str(row.get(0)).unwrap()).collect()
    };

    let calls = rows(
        "select wbor_message_id, source, type, bot_id, code, statuscode, text, picture_url, raw_img
                      from groupme order by timestamp",
    )
    .await;
    let row = |uid: &str, source: &str, kind: &str, code: Value, text: Option<String>| {
        json!({ "wbor_message_id": uid, "source": source, "type": kind, "bot_id": "staff", "code": code,
                "statuscode": code, "text": text, "picture_url": null, "raw_img": null })
    };
    let said = |text: &str| station.texts().into_iter().find(|line| line.contains(text));
    let mut recorded = row(&uids[1], "groupme.msg", "log", json!(202), Some("by its producer".to_owned()));
    recorded["picture_url"] = json!("https://i.groupme.com/1.jpeg.a");
    let wanted = [
        recorded,
        row(&uids[1], "groupme.msg", "img", json!(415), None),
        row(&uids[0], "twilio.sms.incoming", "log", json!(202), said("Who sang that?")),
        row(&uids[2], "standard", "log", json!(202), said("hello")),
        row(&uids[2], "standard", "log", Value::Null, said("hello")),
    ];
    assert_eq!(calls, wanted);

    let lines = rows("select * from groupme_callbacks order by timestamp").await;
    assert_eq!(lines.len(), 2);
    let line = &lines[0];
    assert_eq!(line["id"], json!(station.sim.lines(GROUP)[0].id));
    let known = ["group_id", "sender_type", "bot_id", "source", "type"].map(|name| line[name].as_str().unwrap());
    assert_eq!(known, [GROUP, "bot", "staff", "groupme.callback", "callback"]);
    assert_eq!((&line["code"], &line["statuscode"], &line["system"]), (&json!(200), &json!(200), &json!(false)));
    assert!(line["created_at"].as_i64().unwrap() > 1_700_000_000);
    check_nulls(&station, "groupme_callbacks", line).await;

    let received = rows("select * from messages_received").await;
    assert_eq!(received.len(), 1);
    let text = &received[0];
    let known = ["wbor_message_id", "source", "type", "Body"].map(|name| text[name].as_str().unwrap());
    assert_eq!(known, [&uids[0], "twilio", "sms.incoming", "Who sang that?"]);
    check_nulls(&station, "messages_received", text).await;
    station.end().await;
}
