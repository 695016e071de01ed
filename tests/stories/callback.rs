//! GroupMe's callback: who may call, what is refused and counted, what a line confirms, and who may command.
use reqwest::{Client, Method, StatusCode};
use serde_json::{Value, json};
use uuid::Uuid;

use talkback::relay::dispatch::Budget;

use crate::station::{BOT, GROUP, OTHER_BOT, OTHER_GROUP, PATIENCE, Setup, Station, TOKEN, two_rooms, usual_rooms};

fn client() -> Client {
    Client::builder().no_proxy().build().unwrap()
}

/// A line as GroupMe's callback tells it, of a member.
fn line(id: &str, text: &str) -> Value {
    json!({
        "attachments": [], "avatar_url": null, "created_at": jiff::Timestamp::now().as_second(), "group_id": GROUP, "id": id, "name": "Ada",
        "sender_id": "7", "sender_type": "user", "source_guid": "g", "system": false, "text": text, "user_id": "7",
    })
}

/// The same, with other fields.
fn line_with(id: &str, text: &str, fields: Value) -> Value {
    let mut line = line(id, text);
    for (name, value) in fields.as_object().unwrap() {
        line[name] = value.clone();
    }
    line
}

impl Station {
    /// Calls back as GroupMe does: once more where it was told that the line could not be stored in time.
    pub async fn call(&self, line: &Value) -> StatusCode {
        match self.call_raw(TOKEN, Method::POST, line.to_string()).await {
            StatusCode::SERVICE_UNAVAILABLE => self.call_raw(TOKEN, Method::POST, line.to_string()).await,
            status => status,
        }
    }

    async fn call_raw(&self, token: &str, method: Method, body: String) -> StatusCode {
        let url = self.callback.clone().unwrap();
        let (base, _) = url.rsplit_once('/').unwrap();
        let request = client().request(method, format!("{base}/{token}")).header("content-type", "application/json");
        request.body(body).send().await.unwrap().status()
    }

    async fn call_all(&self, lines: &[Value]) {
        for line in lines {
            assert_eq!(self.call(line).await, 200, "{line}");
        }
    }
}

/// A station whose room tells nothing by itself: the story calls back.
async fn quiet() -> Station {
    Station::with(Setup { callbacks: false, ..Setup::default() }).await
}

const HEARD: &str =
    "select line_id || ' ' || sender_type || ' ' || coalesce(command, '-') from groupme_callbacks order by line_id";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_a_right_token_is_let_in_and_two_may_be_right_at_once() {
    let second = "the-token-that-comes-next";
    let vars = vec![("GROUPME_CALLBACK_TOKEN", format!("{TOKEN},{second}"))];
    let station = Station::with(Setup { vars, callbacks: false, ..Setup::default() }).await;
    for (n, token) in [TOKEN, second].into_iter().enumerate() {
        let body = line(&n.to_string(), "hello").to_string();
        assert_eq!(station.call_raw(token, Method::POST, body).await, 200);
    }
    let too_much = format!("{TOKEN}x");
    let wrong = ["wrong-token-wrong-token", "", &TOKEN[1..], &too_much, "callback-token-of-the-testS", "%00", "..%2F"];
    for token in wrong {
        for method in [Method::POST, Method::GET, Method::HEAD, Method::DELETE] {
            let status = station.call_raw(token, method.clone(), line("9", "hello").to_string()).await;
            assert_eq!(status, 404, "{method} {token:?}");
        }
    }
    assert_eq!(station.column(HEARD).await, ["0 user -", "1 user -"]);
    station.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whether_the_address_answers_may_be_asked_with_a_right_token() {
    let station = quiet().await;
    for method in [Method::GET, Method::HEAD] {
        assert_eq!(station.call_raw(TOKEN, method, String::new()).await, 200);
    }
    assert_eq!(station.call_raw(TOKEN, Method::PUT, line("1", "x").to_string()).await, 405);
    assert!(station.column(HEARD).await.is_empty());
    station.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refusals_have_their_status_and_are_counted_by_minute_and_reason() {
    let station = quiet().await;
    let foreign = line_with("1", "hello", json!({ "group_id": "666" }));
    let fits = |length: usize| {
        let empty = line("big", "").to_string().len();
        line("big", &"x".repeat(length - empty)).to_string()
    };
    assert_eq!(fits(64 * 1024).len(), 64 * 1024);
    let cases: Vec<(&str, String, u16)> = vec![
        ("wrong", line("1", "x").to_string(), 404),
        ("wrong", line("1", "x").to_string(), 404),
        (TOKEN, foreign.to_string(), 403),
        (TOKEN, "{ no JSON".to_owned(), 400),
        (TOKEN, String::new(), 400),
        (TOKEN, "[]".to_owned(), 400),
        (TOKEN, "null".to_owned(), 400),
        (TOKEN, r#"{"id": "1", "text": "no group"}"#.to_owned(), 400),
        (TOKEN, json!({ "group_id": GROUP, "text": "no id" }).to_string(), 400),
        (TOKEN, json!({ "group_id": GROUP, "id": "" }).to_string(), 400),
        (TOKEN, fits(64 * 1024 + 1), 413),
        (TOKEN, "[".repeat(60_000), 400),
        (TOKEN, fits(64 * 1024), 200),
    ];
    for (token, body, wanted) in cases {
        let shown: String = body.chars().take(60).collect();
        assert_eq!(station.call_raw(token, Method::POST, body).await, wanted, "{shown}");
    }
    // The minute may have changed meanwhile.
    let counts = "select reason || ' ' || sum(count) from callback_refusals group by reason order by reason";
    let wanted = ["foreign_group 1", "malformed 8", "too_large 1", "wrong_token 2"];
    assert_eq!(station.column(counts).await, wanted);
    let rows = "select count(*)::text from callback_refusals where minute = date_trunc('minute', minute)";
    let rows: usize = station.column(rows).await[0].parse().unwrap();
    assert!((4..=8).contains(&rows), "{rows} rows for 12 refusals");
    assert_eq!(station.column(HEARD).await, ["big user -"]);
    station.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_line_is_heard_once_and_obeyed_once_however_often_it_comes() {
    let mut station = quiet().await;
    station.start_dispatcher();
    let ping = line("1", "!ping");
    let (one, two) = tokio::join!(station.call(&ping), station.call(&ping));
    assert_eq!((one, two), (StatusCode::OK, StatusCode::OK));
    station.call_all(&[ping.clone(), ping]).await;
    station.lines(1).await;
    station.until("select distinct state from deliveries", &["sent"]).await;
    assert_eq!(station.texts(), ["pong"]);
    assert_eq!(station.column(HEARD).await, ["1 user ping"]);
    // The same word in another line is another command.
    station.call(&line("2", "!ping")).await;
    assert_eq!(station.lines(2).await.len(), 2);
    station.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_is_answered_in_plain_dress_by_the_rooms_lane() {
    let mut station = Station::open().await;
    station.start_dispatcher();
    station.sim.say(GROUP, "7", "Ada", "!help").await;
    let lines = station.lines(2).await;
    let help = lines[1].text.clone().unwrap();
    assert!(help.contains("!ping") && help.contains("!help") && !help.contains("---UID---"), "{help}");
    station.sim.say(GROUP, "7", "Ada", "!frobnicate 5551234").await;
    let lines = station.lines(4).await;
    let hint = lines[3].text.clone().unwrap();
    assert!(hint.contains("!help") && !hint.contains("frobnicate") && !hint.contains("555"), "{hint}");
    // Talk that only looks like a command.
    for talk in ["!", "!!!", "! ping", "well, !ping", "?ping"] {
        station.sim.say(GROUP, "7", "Ada", talk).await;
    }
    station.until("select count(*)::text from groupme_callbacks", &["9"]).await;
    station.until("select distinct state from deliveries", &["confirmed"]).await;
    assert_eq!(station.texts().len(), 9);
    let rows = "select door || ' ' || source || ' ' || priority from messages order by accepted_at";
    assert_eq!(station.column(rows).await, ["chat source.talkback.reply 1", "chat source.talkback.reply 1"]);
    station.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_people_command() {
    let station = quiet().await;
    let not_people = [
        json!({ "sender_type": "bot" }),
        json!({ "sender_type": "bot", "user_id": "0", "sender_id": "900" }),
        json!({ "sender_type": "system", "system": true, "sender_id": "system", "user_id": "system" }),
        json!({ "sender_type": "service" }),
        json!({ "sender_type": null }),
        json!({ "sender_type": 7 }),
        json!({ "sender_id": "8" }),
        json!({ "user_id": null, "sender_id": null }),
        json!({ "user_id": "", "sender_id": "" }),
        json!({ "system": true }),
    ];
    let lines: Vec<Value> =
        not_people.into_iter().enumerate().map(|(n, fields)| line_with(&format!("{n:02}"), "!ping", fields)).collect();
    station.call_all(&lines).await;
    assert_eq!(station.column("select count(*)::text from groupme_callbacks").await, ["10"]);
    assert_eq!(station.column("select distinct coalesce(command, '-') from groupme_callbacks").await, ["-"]);
    assert!(station.column("select uid from messages").await.is_empty());
    assert!(station.sim.posts().is_empty());
    station.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lines_of_unknown_form_are_fine() {
    let station = quiet().await;
    let odd = [
        line_with("01", "", json!({ "text": null })),
        line_with("02", "", json!({ "text": 5 })),
        line_with("03", "hi", json!({ "attachments": null, "created_at": null, "name": null })),
        line_with("04", "hi", json!({ "attachments": [1, null, { "type": "poll" }], "created_at": "yesterday" })),
        line_with("05", "hi", json!({ "event": { "type": "bot.del", "data": { "bot": "x" } } })),
        line_with("06", "hi", json!({ "sender_type": "hologram", "new_field": { "deep": [[[]]] } })),
        line_with("07", "hi", json!({ "created_at": 9_999_999_999_999_999_i64 })),
        line_with("08", "nul \u{0} and \u{fffd}", json!({})),
        json!({ "group_id": 90210, "id": 9 }),
    ];
    station.call_all(&odd).await;
    // As GroupMe's own encoder might cut an emoji in two.
    let half = line("10", "HALF").to_string().replace("HALF", "\\ud83d");
    assert_eq!(station.call_raw(TOKEN, Method::POST, half).await, 200);
    assert_eq!(station.column("select count(*)::text from groupme_callbacks").await, ["10"]);
    assert_eq!(station.column("select sender_type from groupme_callbacks where line_id = '06'").await, ["hologram"]);
    assert_eq!(station.column("select sender_type from groupme_callbacks where line_id = '9'").await, ["unknown"]);
    station.end().await;
}

/// A bot's line, as the callback of our own post would tell it.
fn bots_line(id: &str, text: &str) -> Value {
    line_with(id, text, json!({ "sender_type": "bot", "sender_id": "900", "user_id": "900", "name": "Talkback" }))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_exact_text_confirms_the_oldest_of_equal_parts() {
    let mut station = quiet().await;
    station.start_dispatcher();
    // Three alarms with one text: plain dress, so that no uid tells them apart.
    station.settings = {
        let rooms = usual_rooms("20ms", 3).replace("burst = 3", "burst = 3\ndress = \"plain\"");
        station
            .vars
            .insert("TALKBACK_CONFIG".into(), station.vars["TALKBACK_CONFIG"].replace(&usual_rooms("20ms", 3), &rooms));
        talkback::config::Settings::from_vars(&station.vars).unwrap()
    };
    for n in 0..3 {
        let body = json!({ "body": "door open", "wbor_message_id": Uuid::new_v4().to_string() });
        station.consume(&[Station::message("source.standard", &body)]).await;
        station.until("select count(*)::text from parts where state = 'sent'", &[&(n + 1).to_string()]).await;
    }
    let parts = "select coalesce(confirmed_by, 'open') from parts order by claimed_at";
    // Nearly the text confirms nothing.
    for (n, text) in ["Door open", "door open!", "door", "\"door open\"", ""].into_iter().enumerate() {
        station.call(&bots_line(&format!("not-{n}"), text)).await;
    }
    // A person who says the same words is no proof.
    station.call(&line("person", "door open")).await;
    assert_eq!(station.column(parts).await, ["open", "open", "open"]);
    // White space at the ends aside.
    station.call(&bots_line("first", " door open\n")).await;
    assert_eq!(station.column(parts).await, ["first", "open", "open"]);
    station.call(&bots_line("first", "door open")).await;
    assert_eq!(station.column(parts).await, ["first", "open", "open"], "a repeat of one line is one line");
    station.call_all(&[bots_line("second", "door open"), bots_line("third", "door open")]).await;
    assert_eq!(station.column(parts).await, ["first", "second", "third"]);
    station.call(&bots_line("fourth", "door open")).await;
    assert_eq!(station.column("select distinct state from deliveries").await, ["confirmed"]);
    let proof = "select line_id from groupme_callbacks where delivery is not null order by line_id";
    assert_eq!(station.column(proof).await, ["first", "second", "third"]);
    station.end().await;
}

/// While its caller was frozen its producer took over, and its lines are there before its record.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_room_shows_of_a_message_that_has_begun_is_not_said_again() {
    let rooms = usual_rooms("10s", 1);
    let station = Station::with(Setup { callbacks: false, rooms, ..Setup::default() }).await;
    let body = "All work and no play makes Jack a dull boy. ".repeat(50);
    let messages = ["first", "second"].map(|uid| {
        let image = "https://i.groupme.com/1.png";
        let body = json!({ "body": body.trim(), "images": [image], "wbor_message_id": uid });
        Station::message("source.standard", &body)
    });
    station.consume(&messages).await;
    let said = "select m.given_uid || ' ' || p.n || ' ' || p.state from parts p join deliveries d on d.id = p.delivery \
                join messages m using (uid) where p.state <> 'waiting' order by d.qseq, p.n";
    assert_eq!(station.column(said).await, ["first 1 sent"]);
    let texts = station.column("select text from parts order by delivery, n").await;
    assert!(texts[1].starts_with("(2/3)") && texts[1] == texts[5], "{texts:?}");
    // Its like of the other, which nobody has begun, is another matter; so is a picture, which any message may show.
    let shown =
        json!({ "sender_type": "bot", "attachments": [{ "type": "image", "url": "https://i.groupme.com/1.png" }] });
    station.call_all(&[bots_line("a", &texts[1]), bots_line("b", &texts[1]), line_with("c", "", shown)]).await;
    station.call_all(&[bots_line("d", &texts[2]), bots_line("e", &texts[6])]).await;
    assert_eq!(station.column(said).await, ["first 1 sent", "first 2 confirmed", "first 3 confirmed"]);
    let counted = "select sent || ' ' || confirmed || ' ' || state from deliveries order by qseq";
    assert_eq!(station.column(counted).await, ["3 2 sending", "0 0 queued"]);
    station.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_line_confirms_only_in_its_own_group() {
    let setup = Setup { callbacks: false, ..two_rooms() };
    let mut station = Station::with(setup).await;
    station.start_dispatcher();
    let uid = Uuid::new_v4().to_string();
    let body = json!({ "body": "for both", "wbor_message_id": uid });
    station.consume(&[Station::message("source.standard", &body)]).await;
    station.until("select state from parts", &["sent", "sent"]).await;
    let text = station.texts()[0].clone();
    station.call(&bots_line("1", &text)).await;
    let states = "select room || ' ' || state from deliveries order by room";
    assert_eq!(station.column(states).await, ["staff confirmed", "tech sent"]);
    let other = line_with("2", &text, json!({ "sender_type": "bot", "group_id": OTHER_GROUP }));
    station.call(&other).await;
    assert_eq!(station.column(states).await, ["staff confirmed", "tech confirmed"]);
    station.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_bots_of_one_group_are_each_confirmed_and_answer_a_command_once() {
    // Both bots are in the one group: GroupMe calls back twice for each line.
    let one_group = two_rooms().rooms.replace(OTHER_GROUP, GROUP);
    let bots = vec![(OTHER_BOT.to_owned(), GROUP.to_owned())];
    let mut station = Station::with(Setup { rooms: one_group, bots, ..Setup::default() }).await;
    station.start_dispatcher();
    let body = json!({ "body": "twice in one group", "wbor_message_id": Uuid::new_v4().to_string() });
    station.consume(&[Station::message("source.standard", &body)]).await;
    station.until("select state from deliveries", &["confirmed", "confirmed"]).await;
    assert_eq!(station.lines(2).await.len(), 2);
    station.until("select count(*)::text from groupme_callbacks", &["2"]).await;
    station.until("select count(distinct confirmed_by)::text from parts", &["2"]).await;
    station.sim.say(GROUP, "7", "Ada", "!ping").await;
    station.lines(4).await;
    station.until("select distinct state from deliveries", &["confirmed"]).await;
    assert_eq!(station.texts().iter().filter(|text| *text == "pong").count(), 1);
    // Each of the four lines came twice, was heard once, and answered 200.
    let calls = station.sim.wait_for_callbacks(|calls| calls.len() >= 8, crate::station::PATIENCE).await.unwrap();
    assert!(calls.iter().all(|call| call.status == Some(200)), "{calls:?}");
    assert_eq!(station.column("select count(*)::text from groupme_callbacks").await, ["4"]);
    station.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pictures_are_confirmed_by_their_url() {
    let mut station = quiet().await;
    station.start_dispatcher();
    let images = ["https://i.groupme.com/1.png", "https://i.groupme.com/2.png"];
    let body = json!({ "body": "two", "images": images, "wbor_message_id": Uuid::new_v4().to_string() });
    station.consume(&[Station::message("source.standard", &body)]).await;
    station.until("select state from parts", &["sent", "sent", "sent"]).await;
    let shown = |id: &str, url: &str| {
        let attachments = json!([{ "type": "image", "url": url }]);
        line_with(id, "", json!({ "sender_type": "bot", "text": null, "attachments": attachments }))
    };
    station.call(&shown("other", "https://i.groupme.com/3.png")).await;
    station.call(&shown("b", images[1])).await;
    let parts = "select coalesce(confirmed_by, 'open') from parts order by n";
    assert_eq!(station.column(parts).await, ["open", "open", "b"]);
    station.call(&shown("a", images[0])).await;
    station.call(&bots_line("t", &station.texts()[0])).await;
    assert_eq!(station.column(parts).await, ["t", "a", "b"]);
    assert_eq!(station.column("select state from deliveries").await, ["confirmed"]);
    station.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_members_see_a_pong_within_the_callback_itself() {
    // The guard's real times: on a busy machine a tenth may be over before the call begins.
    let lanes = "lease = \"20s\"".to_owned();
    let station = Station::with(Setup { lanes, callbacks: false, ..Setup::default() }).await;
    assert_eq!(station.call(&line("1", "!ping")).await, 200);
    // No dispatcher runs: what is there now was posted by the callback.
    assert_eq!(station.texts(), ["pong"]);
    let calls = "select coalesce(room, '-') || ' ' || outcome from api_calls";
    assert_eq!(station.column(calls).await, ["staff posted"]);
    assert_eq!(station.sim.posts()[0].bot_id.as_deref(), Some(BOT));
    station.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_a_dispatcher_works_the_callback_leaves_the_answer_to_it() {
    let lanes = "stay_unknown_deadline = \"50s\"".to_owned();
    let station = Station::with(Setup { lanes, ..Setup::default() }).await;
    let dispatcher = station.relay("dispatcher");
    dispatcher.store.seen("dispatcher").await.unwrap();
    station.sim.say(GROUP, "7", "Ada", "!ping").await;
    station.until("select state from deliveries", &["queued"]).await;
    station.sim.wait_for_callbacks(|attempts| attempts.iter().any(|a| a.status == Some(200)), PATIENCE).await.unwrap();
    assert!(station.sim.posts().is_empty(), "GroupMe would have to wait for its own answer");
    dispatcher.dispatch(&Budget::door(PATIENCE, None, dispatcher.room_names())).await.unwrap();
    assert_eq!(station.texts(), ["!ping", "pong"]);
    station.end().await;
}
