//! People: one is erased, and what is counted stays.
mod transcripts;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::privacy::everything;
use crate::station::{GROUP, Station};

const NUMBER: &str = "+12075550142";
const OTHER: &str = "+12075550177";

/// A listener's text.
fn text(from: &str, body: &str) -> (String, Value) {
    let uid = Uuid::new_v4().to_string();
    let body = json!({ "From": from, "Body": body, "SenderName": "Marjolaine Quux", "FromCity": "SKOWHEGAN",
                       "wbor_message_id": uid });
    (uid, Station::message("source.twilio.sms.incoming", &body))
}

async fn erase(station: &Station, number: &str) -> Result<String, String> {
    operator::run(&station.relay("operator"), &["erase", number]).await.map_err(|error| format!("{error:#}"))
}

/// A word as it is, in hex, and in base64 wherever it may begin in what was encoded.
fn forms(word: &str) -> Vec<String> {
    let mut forms = vec![word.to_owned(), word.bytes().map(|b| format!("{b:02x}")).collect()];
    for before in 0..3_usize {
        let bytes = [&vec![0; before][..], word.as_bytes()].concat();
        // What also encodes a neighbour is another letter each time.
        let (first, last) = (before.div_ceil(3) * 4, bytes.len() / 3 * 4);
        forms.push(STANDARD.encode(bytes)[first..last].to_owned());
    }
    forms
}

/// Where in the database a word can be read, however it is written.
async fn places(station: &Station, word: &str) -> Vec<String> {
    let forms = forms(word);
    let told = |value: &str| forms.iter().any(|form| value.contains(form.as_str()));
    everything(station).await.into_iter().filter(|(_, value)| told(value)).map(|(place, _)| place).collect()
}

#[test]
fn a_word_is_known_in_whatever_it_is_written() {
    for before in ["", "x", "xy", "xyz"] {
        let (plain, forms) = (format!("{before}2075550142 and on"), forms("2075550142"));
        let hex: String = plain.bytes().map(|b| format!("{b:02x}")).collect();
        for text in [plain.clone(), hex, STANDARD.encode(&plain)] {
            assert!(forms.iter().any(|form| text.contains(form.as_str())), "{text}");
        }
    }
}

/// All that is counted, and what must stay of each row.
const COUNTED: &str = "
    select concat_ws(' ', 'm', uid, source, verdict, priority, accepted_at, encode(sender_hash, 'hex')) from messages
    union all select concat_ws(' ', 'd', uid, room, state, cause, parts, sent, confirmed) from deliveries
    union all select concat_ws(' ', 'p', delivery, n, kind, state, attempt) from parts
    union all select concat_ws(' ', 'e', delivery, at, old_state, new_state, cause) from delivery_events
    union all select concat_ws(' ', 'c', uid, at, operation, status, outcome, latency_ms) from api_calls
    union all select concat_ws(' ', 'l', line_id, received_at, sender_type, text_length, delivery) from groupme_callbacks
    union all select concat_ws(' ', 'b', id, encode(sender_hash, 'hex'), banned_at, until, lifted_at) from bans
    order by 1";

/// What messages still hold: whose, of how many something, and what can be read.
const HELD: &str = "
    select concat_ws(' ', count(*), count(sender_sealed), count(body), count(body_sealed), count(media_sealed),
                     (select count(*) from parts p join deliveries d on d.id = p.delivery join messages o using (uid)
                      where o.sender_hash = m.sender_hash and p.text || coalesce(p.picture_url, '') <> ''),
                     (select count(c.request) + count(c.response) from api_calls c join messages o using (uid)
                      where o.sender_hash = m.sender_hash),
                     (select count(payload_sealed) from groupme_callbacks g join deliveries d on d.id = g.delivery
                      join messages o using (uid) where o.sender_hash = m.sender_hash),
                     (select count(p.url) + count(p.sha256) from pictures p join messages o using (uid)
                      where o.sender_hash = m.sender_hash))
    from messages m where sender_hash is not null group by sender_hash order by 1";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_erased_is_nowhere_and_all_that_is_counted_stays() {
    let mut station = Station::open().await;
    station.start_dispatcher();
    let (first, message) = text(NUMBER, "call me: 2075550142");
    station.consume(&[message]).await;
    station.consume(&[text(OTHER, "somebody else").1]).await;
    let states = "select count(*)::text from deliveries where state = 'confirmed'";
    station.until(states, &["2"]).await;
    let short = first.split('-').next().unwrap();
    station.sim.say(GROUP, "9", "Ada", &format!("!ban {short} for 7d said 2075550142 too often")).await;
    station.until("select count(*)::text from commands where state = 'told'", &["1"]).await;
    station.until(states, &["3"]).await;
    let banned =
        json!({ "From": NUMBER, "Body": "banned 2075550142", "MediaUrl0": "https://media.example/2075550142" });
    let banned = Station::message("source.twilio.sms.incoming", &banned);
    station.consume(&[banned]).await;
    station.stop_dispatcher().await;
    let picture = "insert into pictures (uid, channel, n, sha256, url)
                   select uid, 'groupme', 1, '\\x01', 'https://i.groupme.com/' || body from messages where verdict = 'accepted' and sender_hash is not null";
    station.db().await.batch_execute(picture).await.unwrap();
    let before = station.column(COUNTED).await;
    assert_eq!(station.column(HELD).await, ["1 1 1 0 0 1 1 1 2", "2 2 1 1 1 1 1 1 2"]);
    let told = places(&station, "2075550142").await;
    assert!(
        ["messages.body", "parts.text", "api_calls.request", "pictures.url"]
            .iter()
            .all(|place| told.iter().any(|told| told.ends_with(place))),
        "{told:?}"
    );

    // As people write it who copy it from somewhere.
    let done = erase(&station, &format!(" {NUMBER}\n")).await.unwrap();
    assert_eq!(done, "cleared: 2 messages, 1 part, 1 call, 1 line, 1 picture, 1 ban; withdrawn: 0");
    assert_eq!(places(&station, "2075550142").await, Vec::<String>::new());
    assert_eq!(station.column(COUNTED).await, before);
    assert_eq!(station.column(HELD).await, ["1 1 1 0 0 1 1 1 2", "2 0 0 0 0 0 0 0 0"]);
    assert_eq!(station.column("select concat_ws(' ', count(*), count(sender_sealed), count(reason_sealed), count(banned_by_sealed)) from bans").await, ["1 0 0 1"]);

    // Again there is nothing left to do; what comes meanwhile is banned as before, and erased as before.
    let nothing = "cleared: 0 messages, 0 parts, 0 calls, 0 lines, 0 pictures, 0 bans; withdrawn: 0";
    assert_eq!(erase(&station, NUMBER).await.unwrap(), nothing);
    station.consume(&[text(NUMBER, "here I am again").1]).await;
    assert_eq!(station.column("select count(*)::text from messages where verdict = 'banned'").await, ["2"]);
    assert!(erase(&station, NUMBER).await.unwrap().starts_with("cleared: 1 message, 0 parts"));
    assert_eq!(station.said().len(), 4, "{:?}", station.said());
    station.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_of_them_is_withdrawn_and_what_is_in_the_air_is_left_until_it_is_known() {
    let mut station = Station::open().await;
    let (waits, message) = text(NUMBER, "waits");
    let (flies, other) = text(NUMBER, "in the air");
    station.take_in(&[message, other, text(OTHER, "somebody else").1]).await;
    let begun = format!(
        "update deliveries set state = 'sending', begun = true, cause = 'its turn' where uid = '{flies}';
         update parts set state = 'posting', attempt = 1, token = 'gone', claimed_at = clock_timestamp()
         where delivery = (select id from deliveries where uid = '{flies}')"
    );
    station.db().await.batch_execute(&begun).await.unwrap();
    let left = erase(&station, NUMBER).await.unwrap_err();
    assert_eq!(
        left,
        "cleared: 1 message, 1 part, 0 calls, 0 lines, 0 pictures, 0 bans; withdrawn: 2; \
         left, for it is being posted: 1 message: erase again in some minutes"
    );
    let bodies = format!(
        "select case uid when '{waits}' then 'waited' when '{flies}' then 'in the air' else 'other' end || ' ' || state
                || ' ' || coalesce(body, 'cleared') from messages join deliveries using (uid) order by 1"
    );
    let other = "other queued somebody else";
    assert_eq!(station.column(&bodies).await, ["in the air withdrawn in the air", other, "waited withdrawn cleared"]);
    // Its caller is dead: the sweep finds that out, and then nothing is left to wait for.
    station.start_dispatcher();
    station.until("select count(*)::text from parts where state = 'posting'", &["0"]).await;
    assert!(erase(&station, NUMBER).await.unwrap().starts_with("cleared: 1 message, 1 part, 0 calls"));
    station.until("select count(*)::text from deliveries where state = 'confirmed'", &["1"]).await;
    // Nothing of it can be sent again: there is nothing.
    for uid in [&waits, &flies] {
        let refused = operator::run(&station.relay("operator"), &["replay", uid]).await.unwrap_err().to_string();
        assert!(refused.ends_with("or its sender is banned or erased"), "{refused}");
    }
    assert_eq!(station.said(), ["somebody else"]);
    station.end().await;
}

/// What was posted and not yet heard: its line would come, and be nobody's.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_just_posted_is_left_until_its_line_came_or_never_will() {
    let mut station = Station::open().await;
    station.start_dispatcher();
    station.consume(&[text(NUMBER, "just now").1]).await;
    station.until("select state from deliveries", &["confirmed"]).await;
    station.stop_dispatcher().await;
    let posted = "update parts set state = 'sent', claimed_at = clock_timestamp() + interval '1 h'";
    station.db().await.batch_execute(posted).await.unwrap();
    assert!(erase(&station, NUMBER).await.unwrap_err().contains("; left, for it is being posted: 1 message"));
    station.db().await.batch_execute("update parts set claimed_at = now() - interval '1 h'").await.unwrap();
    assert!(erase(&station, NUMBER).await.unwrap().starts_with("cleared: 1 message, 1 part, 1 call, 1 line"));
    station.end().await;
}

/// Several pages of one moment; and whoever dies on the way has erased less.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thousands_of_messages_are_erased_page_by_page() {
    let station = Station::open().await;
    let hash = station.settings.lookup.hash("sender", NUMBER.as_bytes());
    let fill = "
        insert into messages (uid, given_uid, short_uid, source, door, verdict, priority, sender_hash, sender_sealed, body,
                              accepted_by, accepted_at)
        select n::text, n::text, n::text, 'source.twilio.sms.incoming', 'rabbitmq', 'already_sent', 0, $1, '\\x00', 'said',
               'mark', '2026-01-01Z'::timestamptz + (n / 1200) * interval '1 s' from generate_series(1, 2300) n";
    station.db().await.execute(fill, &[&hash]).await.unwrap();
    assert!(erase(&station, NUMBER).await.unwrap().starts_with("cleared: 2300 messages, 0 parts"));
    assert_eq!(station.column(HELD).await, ["2300 0 0 0 0 0 0 0 0"]);
    let rest = "update messages set body = 'written late' where uid in ('7', '2299')";
    station.db().await.batch_execute(rest).await.unwrap();
    assert!(erase(&station, NUMBER).await.unwrap().starts_with("cleared: 2 messages, 0 parts"));
    station.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_number_that_nobody_knows_is_an_error_that_does_not_repeat_it() {
    let station = Station::open().await;
    station.take_in(&[text(OTHER, "somebody else").1]).await;
    for number in [NUMBER, "2075550142", "", "(207) 555-0142"] {
        let unknown = erase(&station, number).await.unwrap_err();
        assert!(unknown.starts_with("no message and no ban is of that number"), "{unknown}");
        assert!(!unknown.contains("555"), "{unknown}");
    }
    for words in [&["erase"][..], &["erase", "--all"], &["erase", NUMBER, OTHER]] {
        let wrong = operator::run(&station.relay("operator"), words).await.unwrap_err().to_string();
        assert!(wrong.contains("erase NUMBER") && !wrong.contains("555"), "{wrong}");
    }
    assert_eq!(
        station.column("select body from messages join deliveries using (uid) where state = 'queued'").await,
        ["somebody else"]
    );
    station.end().await;
}
