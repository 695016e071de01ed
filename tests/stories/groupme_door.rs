//! `POST /v3/bots/post`: what can post to GroupMe sends here, and is answered as GroupMe would.
use lambda_runtime::{Context, LambdaEvent};
use serde_json::{Value, json};
use talkback::relay::Relay;

use crate::events::event;
use crate::send_door::{Answer, OTHER_KEY, PLAIN_KEY, ask, station};
use crate::station::{GROUP, KEY, Setup, Station, dressed, sha256, usual_rooms};

const PATH: &str = "/v3/bots/post";
const JSON: [(&str, &str); 1] = [("content-type", "application/json")];
const FORM: [(&str, &str); 1] = [("content-type", "application/x-www-form-urlencoded")];

async fn post(relay: &Relay, document: &Value) -> Answer {
    ask(relay, "POST", PATH, &JSON, &document.to_string()).await
}

/// Asserts that GroupMe's yes was given: 202 and not a word.
fn is_taken(answer: &Answer) {
    assert_eq!((answer.status, &answer.body), (202, &Value::Null), "{answer:?}");
    assert_eq!(answer.headers["cache-control"], "no-store");
}

/// Asserts that it is GroupMe's envelope with this status, and errors about exactly these fields.
fn is_refused(answer: &Answer, status: u64, fields: &[&str]) {
    assert_eq!((answer.status, &answer.body["response"]), (status, &Value::Null), "{answer:?}");
    assert_eq!(answer.body["meta"]["code"], status, "{answer:?}");
    assert_eq!(answer.headers["content-type"], "application/json");
    let errors = answer.body["meta"]["errors"].as_array().unwrap();
    let field = |error: &Value| Some(error.as_str()?.strip_prefix('`')?.split('`').next()?.to_owned());
    let named: Vec<String> = errors.iter().filter_map(field).collect();
    assert_eq!(named, fields, "{answer:?}");
    assert!(!errors.is_empty() && answer.body.as_object().unwrap().len() == 2);
}

async fn sources(station: &Station) -> Vec<String> {
    station.column("select source || ' ' || sent_by from messages order by accepted_at").await
}

/// The short uid of the latest message.
async fn short_uid(station: &Station) -> String {
    station.column("select short_uid from messages order by accepted_at desc limit 1").await.remove(0)
}

/// Its connector (backend/src/Webhook/Connector/GroupMe.php) posts by Guzzle, which escapes slashes and what is not
/// ASCII; it waits three seconds, splits nothing and never repeats. The text is its form's usual one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn azuracasts_own_request_is_in_the_room_when_it_is_answered() {
    let station = station().await;
    let azuracast = event("http-bots-post");
    let answer = send::invoke(&station.relay("send"), LambdaEvent::new(azuracast, Context::default())).await;
    assert_eq!((&answer["statusCode"], &answer["body"]), (&json!(202), &json!("")), "{answer}");
    let text = "Now playing on WBOR 91.1 FM: Só Danço Samba by Stan Getz / João Gilberto! Tune in now.";
    assert_eq!(station.texts(), [dressed(text, &short_uid(&station).await)]);
    assert_eq!(sources(&station).await, ["source.standard tests"]);
    station.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_text_longer_than_groupme_takes_arrives_whole_in_parts() {
    let station = station().await;
    let words: Vec<String> = (0..300).map(|n| format!("word{n:03}")).collect();
    is_taken(&post(&station.relay("send"), &json!({ "bot_id": KEY, "text": words.join(" ") })).await);
    let said = station.lines(3).await;
    let said: String = said.iter().filter_map(|line| line.text.clone()).collect();
    assert!(words.iter().all(|word| said.contains(word)) && said.contains("(3/3)"), "{said}");
    station.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn curls_one_line_a_form_and_a_query_are_taken() {
    let station = station().await;
    let relay = station.relay("send");
    // GroupMe's tutorial: `curl -d '{…}'`, which calls it a form.
    let tutorial = format!("{{\"text\" : \"Hello world\", \"bot_id\" : \"{KEY}\"}}");
    is_taken(&ask(&relay, "POST", PATH, &FORM, &tutorial).await);
    is_taken(&ask(&relay, "POST", PATH, &[], &tutorial.replace("world", "moon")).await);
    is_taken(&ask(&relay, "POST", PATH, &FORM, &format!("bot_id={KEY}&text=a+form+%26+caf%C3%A9")).await);
    is_taken(&ask(&relay, "POST", &format!("{PATH}?bot_id={KEY}&text=a%20query"), &[], "").await);
    assert_eq!(station.said(), ["Hello world", "Hello moon", "a form & café", "a query"]);
    station.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_bot_id_that_is_no_key_gets_the_same_answer_and_stores_nothing() {
    let station = station().await;
    let relay = station.relay("send");
    let mut bodies = Vec::new();
    for bot_id in
        [json!("wrong"), json!(""), Value::Null, json!(7), json!([KEY]), json!(format!("{KEY} ")), json!(sha256(KEY))]
    {
        // Also what else is wrong is not for everybody to know.
        let answer = post(&relay, &json!({ "bot_id": bot_id, "attachments": [{ "type": "poll" }] })).await;
        is_refused(&answer, 404, &["bot_id"]);
        bodies.push(answer.body);
    }
    let bearer = format!("Bearer {KEY}");
    let elsewhere = ask(&relay, "POST", PATH, &[("authorization", &bearer)], "{\"text\": \"t\"}").await;
    is_refused(&elsewhere, 404, &["bot_id"]);
    bodies.push(elsewhere.body);
    bodies.dedup();
    assert_eq!(bodies.len(), 1);
    assert_eq!(station.column("select count(*)::text from messages").await, ["0"]);
    station.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_is_said_in_groupmes_envelope() {
    let station = station().await;
    let relay = station.relay("send");
    let wrong = json!({ "bot_id": KEY, "text": {}, "picture_url": "ftp://a", "attachments": [{ "type": "location", "lat": "1" }] });
    is_refused(&post(&relay, &wrong).await, 400, &["text", "picture_url", "attachments[0].type"]);
    is_refused(&post(&relay, &json!({ "bot_id": KEY, "text": " " })).await, 400, &["text"]);
    is_refused(&ask(&relay, "POST", PATH, &JSON, "{\"text\": ").await, 400, &[]);
    is_refused(&ask(&relay, "POST", PATH, &JSON, &"x".repeat(65 * 1024)).await, 413, &[]);
    is_refused(&ask(&relay, "POST", PATH, &[("content-type", "multipart/form-data")], "--x").await, 415, &[]);
    for path in ["/v3", "/v3/", "/v3/bots", "/v3/bots/post/", "/v3/groups/1/messages"] {
        is_refused(&ask(&relay, "POST", path, &JSON, "{}").await, 404, &[]);
    }
    for method in ["GET", "PUT", "OPTIONS"] {
        let answer = ask(&relay, method, PATH, &[], "").await;
        is_refused(&answer, 405, &[]);
        assert_eq!(answer.headers["allow"], "POST");
    }
    let head = ask(&relay, "HEAD", PATH, &[], "").await;
    assert_eq!((head.status, &head.body, &head.headers["allow"]), (405, &Value::Null, &json!("POST")));
    ask(&relay, "POST", "/v30/bots/post", &JSON, "{}").await.is_problem(404, &[]);
    assert_eq!(station.column("select count(*)::text from messages").await, ["0"]);
    station.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_key_decides_the_source_and_the_route_decides_the_rest() {
    let keys = [
        format!("web:{}:news.#", sha256(KEY)),
        format!("ups:{}:ups.alarm:urgent:rooms", sha256(OTHER_KEY)),
        format!("lost:{}:nowhere.*", sha256(PLAIN_KEY)),
        format!("barred:{}:twilio.#", sha256("barred")),
    ];
    let high = "[[routes]]\npattern = \"source.news.*\"\nrooms = [\"staff\"]\npriority = \"high\"\n";
    let routes = usual_rooms("20ms", 3).replace("pattern = \"source.#\"", "pattern = \"source.ups.#\"");
    let rooms = routes.replacen("[[routes]]", &format!("{high}[[routes]]"), 1);
    let vars = vec![("TALKBACK_SEND_KEYS", keys.join(","))];
    let station = Station::with(Setup { rooms, vars, ..Setup::default() }).await;
    let relay = station.relay("send");
    let asking =
        |key: &str| json!({ "bot_id": key, "text": "t", "source": "standard", "priority": "urgent", "rooms": ["x"] });
    is_taken(&post(&relay, &asking(KEY)).await);
    is_taken(&post(&relay, &asking(OTHER_KEY)).await);
    // Kept as rejected, as by `POST /send`.
    is_refused(&post(&relay, &asking(PLAIN_KEY)).await, 400, &["source"]);
    is_refused(&post(&relay, &asking("barred")).await, 403, &["bot_id"]);
    let kept = "select concat_ws(' ', source, priority, verdict) from messages order by accepted_at";
    let want = ["source.news.web 1 accepted", "source.ups.alarm 0 accepted", "source.nowhere.lost 0 rejected"];
    assert_eq!(station.column(kept).await, want);
    station.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repeat_with_its_idempotency_key_is_taken_and_posted_once() {
    let station = station().await;
    let relay = station.relay("send");
    let headers = [JSON[0], ("idempotency-key", "\"song-7\"")];
    let document = |text: &str| json!({ "bot_id": OTHER_KEY, "text": text }).to_string();
    for _ in 0..2 {
        is_taken(&ask(&relay, "POST", PATH, &headers, &document("hello")).await);
    }
    assert_eq!(station.texts(), [dressed("hello", "song")]);
    is_refused(&ask(&relay, "POST", PATH, &headers, &document("good bye")).await, 409, &[]);
    let wrong = [JSON[0], ("idempotency-key", "two words")];
    is_refused(&ask(&relay, "POST", PATH, &wrong, &document("hello")).await, 400, &["Idempotency-Key"]);
    // Without one, each is a new message, as it is to GroupMe.
    for _ in 0..2 {
        is_taken(&post(&relay, &json!({ "bot_id": OTHER_KEY, "text": "again" })).await);
    }
    assert_eq!(station.said(), ["hello", "again", "again"]);
    station.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn emoji_half_surrogates_and_nul_reach_the_room_clean() {
    let station = station().await;
    let body = format!(r#"{{"bot_id": "{KEY}", "text": "a\ud83d b\u0000 \ud83d\ude00 👩‍🚀"}}"#);
    is_taken(&ask(&station.relay("send"), "POST", PATH, &JSON, &body).await);
    assert_eq!(station.said(), ["a\u{FFFD} b\u{FFFD} 😀 👩‍🚀"]);
    station.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pictures_on_groupmes_own_service_follow_the_text_each_once() {
    let mut station = station().await;
    let (one, two) = ("https://i.groupme.com/640x480.jpeg.1", "https://i.groupme.com/640x480.png.2");
    let relay = station.relay("send");
    let image = |url: &str| json!({ "type": "image", "url": url });
    let mentions = json!({ "type": "mentions", "user_ids": ["7"], "loci": [[0, 3]] });
    let document =
        json!({ "bot_id": KEY, "text": "look", "picture_url": one, "attachments": [mentions, image(two), image(one)] });
    is_taken(&post(&relay, &document).await);
    is_taken(&post(&relay, &json!({ "bot_id": KEY, "text": "", "picture_url": two })).await);
    station.start_dispatcher();
    station.until("select distinct state from deliveries", &["confirmed"]).await;
    let pictures: Vec<String> = station.sim.lines(GROUP).into_iter().filter_map(|line| line.picture_url).collect();
    assert_eq!(pictures, [one, two, two]);
    assert_eq!(station.said()[0], "look");
    station.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_its_database_or_any_key_the_door_says_when_to_come_again() {
    let mut station = station().await;
    let document = json!({ "bot_id": KEY, "text": "hello" });
    for (name, value, after) in
        [("DATABASE_URL", "postgres://nobody@127.0.0.1:1/nowhere", "5"), ("TALKBACK_SEND_KEYS", "", "60")]
    {
        station.vars.insert(name.into(), value.into());
        station.vars.retain(|_, value| !value.is_empty());
        station.settings = talkback::config::Settings::from_vars(&station.vars).unwrap();
        let answer = post(&station.relay("send"), &document).await;
        is_refused(&answer, 503, &[]);
        assert_eq!(answer.headers["retry-after"], after);
    }
    station.end().await;
}
