//! Pictures that lie elsewhere: brought to the chat before their message is begun, once, in order.
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use groupme_sim::{Endpoint, Fault, What};
use serde_json::{Value, json};
use talkback::config::Settings;
use uuid::Uuid;

use crate::gallery::Gallery;
use crate::send_door::send_as;
use crate::station::{GROUP, KEY, MEMBER, Setup, Station, usual_rooms};

fn uid() -> String {
    Uuid::new_v4().to_string()
}

/// A station with a member's token, whose sources' pictures hang in the gallery.
pub fn with_gallery(gallery: &Gallery, media: &str) -> Setup {
    let rooms = usual_rooms("10ms", 3) + &gallery.media(media);
    Setup { rooms, vars: vec![("GROUPME_ACCESS_TOKEN", MEMBER.to_owned())], ..Setup::default() }
}

pub fn standard(uid: &str, body: &str, images: &[String]) -> Value {
    Station::message("source.standard", &json!({ "body": body, "images": images, "wbor_message_id": uid }))
}

/// The lines of the room: what they say, or the format of their picture.
fn shown(station: &Station) -> Vec<String> {
    let lines = station.sim.lines(GROUP);
    lines
        .iter()
        .map(|line| match &line.picture_url {
            Some(url) => format!("picture {}", url.split('.').nth(3).unwrap_or("?")),
            None => line.text.clone().unwrap_or_default(),
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_pictures_of_a_text_are_shown_after_it_and_recorded_by_hash_size_and_type() {
    let gallery = Gallery::open().await;
    let mut station = Station::with(with_gallery(&gallery, "")).await;
    station.start_dispatcher();
    let uid = uid();
    let text = json!({
        "From": "+12075550123", "Body": "look", "NumMedia": "3", "wbor_message_id": uid,
        "MediaUrl0": gallery.url("a.jpg"), "MediaContentType0": "image/jpeg",
        "MediaUrl1": gallery.url("a.png"), "MediaContentType1": "image/png",
        "MediaUrl2": gallery.url("a.gif"), "MediaContentType2": "image/gif",
    });
    station.consume(&[Station::message("source.twilio.sms.incoming", &text)]).await;
    station.until("select state from deliveries", &["confirmed"]).await;
    let short = uid.split('-').next().unwrap();
    let said = format!("\"look\"\n---UID---\n{short}\n3 media items attached\n---------");
    assert_eq!(shown(&station), [said.as_str(), "picture jpeg", "picture png", "picture gif"]);
    let rows = "select concat_ws(' ', n, bytes, media_type, octet_length(sha256), url like 'https://i.groupme.com/%')
                from pictures order by n";
    assert_eq!(station.column(rows).await, ["1 15 image/jpeg 32 t", "2 29 image/png 32 t", "3 13 image/gif 32 t"]);
    let calls = "select operation || ' ' || outcome || ' ' || status || ' ' || (request->>'type') from api_calls
                 where operation in ('fetch', 'upload') order by operation, (request->>'picture')::int";
    assert_eq!(
        station.column(calls).await,
        [
            "fetch ok 200 image/jpeg",
            "fetch ok 200 image/png",
            "fetch ok 200 image/gif",
            "upload ok 200 image/jpeg",
            "upload ok 200 image/png",
            "upload ok 200 image/gif"
        ]
    );
    // The address of a listener's picture holds an account and a message id: it stands nowhere but sealed.
    let everything = "select request::text || coalesce(response::text, '') || coalesce(error, '') from api_calls";
    assert!(station.column(everything).await.iter().all(|call| !call.contains("a.jpg")));
    station.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pictures_alone_are_closed_by_a_line_with_their_uid() {
    let gallery = Gallery::open().await;
    let mut station = Station::with(with_gallery(&gallery, "")).await;
    station.start_dispatcher();
    let uid = uid();
    station.consume(&[standard(&uid, "", &[gallery.url("a.gif"), gallery.url("page")])]).await;
    station.until("select state from deliveries", &["confirmed"]).await;
    let short = uid.split('-').next().unwrap();
    let closing = format!("1 picture was sent, without any text.\n---UID---\n{short}\n---------");
    let notice = "1 picture could not be sent: no gif, jpeg or png.";
    assert_eq!(shown(&station), ["picture gif", closing.as_str(), notice]);
    station.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_came_after_waits_for_the_pictures_before_it_and_an_alarm_does_not() {
    let gallery = Gallery::open().await;
    let setup = with_gallery(&gallery, "timeout = \"10s\"\npatience = \"10s\"");
    let lanes = "stay_unknown_deadline = \"30s\"".to_owned();
    let mut station = Station::with(Setup { lanes, ..setup }).await;
    station.start_dispatcher();
    let look = standard(&uid(), "look", &[gallery.url("gated.gif")]);
    station.take_in(&[look, standard(&uid(), "after it", &[])]).await;
    let alarm = json!({ "body": "the alarm", "wbor_message_id": uid() });
    station.take_in(&[Station::message("notification.ups.test", &alarm)]).await;
    station.until("select state from deliveries order by prio, id", &["queued", "queued", "confirmed"]).await;
    assert_eq!(station.said(), ["the alarm"]);
    gallery.let_through();
    station.lines(4).await;
    let said = station.said();
    assert_eq!((said[1].as_str(), said[2].as_str(), said[3].as_str()), ("look", "", "after it"));
    station.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_picture_is_uploaded_once_however_often_its_post_is_tried() {
    let gallery = Gallery::open().await;
    let mut station = Station::with(with_gallery(&gallery, "")).await;
    station
        .sim
        .fault(Fault { times: Some(3), ..Fault::once(What::Status { code: 429, retry_after: None, shown: false }) });
    station.start_dispatcher();
    station.consume(&[standard(&uid(), "", &[gallery.url("a.gif")])]).await;
    station.until("select state from deliveries", &["confirmed"]).await;
    let calls = "select operation || ' ' || count(*) from api_calls group by operation order by operation";
    assert_eq!(station.column(calls).await, ["fetch 1", "post 5", "upload 1"]);
    let posted: Vec<String> = station.sim.posts().iter().filter_map(|post| post.picture_url.clone()).collect();
    assert_eq!(posted.len(), 4);
    assert!(posted.iter().all(|url| *url == posted[0]));
    station.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_picture_service_that_is_busy_is_asked_again_and_one_that_stays_away_is_said() {
    let gallery = Gallery::open().await;
    let mut station = Station::with(with_gallery(&gallery, "patience = \"3s\"")).await;
    let busy = What::Status { code: 503, retry_after: None, shown: false };
    station.sim.fault_at(Endpoint::Pictures, Fault { times: Some(2), ..Fault::once(busy.clone()) });
    station.start_dispatcher();
    station.consume(&[standard(&uid(), "busy", &[gallery.url("a.gif")])]).await;
    station.lines(2).await;
    assert_eq!(shown(&station)[1], "picture gif");
    station.sim.fault_at(Endpoint::Pictures, Fault::always(busy));
    station.consume(&[standard(&uid(), "away", &[gallery.url("a.gif")])]).await;
    station.lines(4).await;
    let said = shown(&station);
    assert!(said[2].starts_with("\"away\"\n---UID---") && !said[2].contains("media item"), "{}", said[2]);
    assert_eq!(said[3], "1 picture could not be sent: GroupMe's picture service does not answer.");
    station.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_png_that_is_refused_is_offered_once_more_as_jpeg() {
    let gallery = Gallery::open().await;
    let mut station = Station::with(with_gallery(&gallery, "")).await;
    let refused = What::Status { code: 415, retry_after: None, shown: false };
    station.sim.fault_at(Endpoint::Pictures, Fault { containing: Some("image/png".into()), ..Fault::always(refused) });
    station.start_dispatcher();
    station.consume(&[standard(&uid(), "look", &[gallery.url("a.png"), gallery.url("a.gif")])]).await;
    station.until("select state from deliveries", &["confirmed"]).await;
    assert_eq!(shown(&station)[1..], ["picture png", "picture gif"]);
    let uploads = "select status || ' ' || (request->>'type') from api_calls
                   where operation = 'upload' and request->>'picture' = '1' order by id";
    assert_eq!(station.column(uploads).await, ["415 image/png", "200 image/jpeg"]);
    station.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_brings_pictures_and_dies_leaves_them_to_the_next_and_what_it_uploaded_is_not_uploaded_again() {
    let gallery = Gallery::open().await;
    let media = "timeout = \"3s\"\npatience = \"3s\"";
    let mut station = Station::with(with_gallery(&gallery, media)).await;
    let look = standard(&uid(), "look", &[gallery.url("a.gif"), gallery.url("gated.gif")]);
    station.take_in(&[look]).await;
    station.start_dispatcher();
    station.until("select n::text from pictures", &["1"]).await;
    // It has one picture, waits for the other, and dies.
    station.kill_dispatcher().await;
    gallery.let_through();
    station.start_dispatcher();
    station.until("select state from deliveries", &["confirmed"]).await;
    assert_eq!(shown(&station)[1..], ["picture gif", "picture gif"]);
    let uploads = "select (request->>'picture') || ' ' || count(*) from api_calls where operation = 'upload'
                   group by request->>'picture' order by 1";
    assert_eq!(station.column("select media_tries::text from deliveries").await, ["2"]);
    assert_eq!(station.column(uploads).await, ["1 1", "2 1"]);
    station.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_expired_before_its_pictures_were_there_has_them_brought_by_a_replay() {
    let gallery = Gallery::open().await;
    let mut station = Station::with(with_gallery(&gallery, "")).await;
    let uid = uid();
    let soon = (jiff::Timestamp::now() + jiff::SignedDuration::from_millis(50)).to_string();
    let look = json!({ "body": "look", "images": [gallery.url("a.gif")], "wbor_message_id": uid, "expires_at": soon });
    station.take_in(&[Station::message("source.standard", &look)]).await;
    station.until("select (expires_at < clock_timestamp())::text from deliveries", &["true"]).await;
    station.relay("dispatcher").tend_once().await.unwrap();
    station.until("select state from deliveries", &["expired"]).await;
    station.start_dispatcher();
    station.relay("dispatcher").store.replay(&uid).await.unwrap();
    station.until("select state from deliveries", &["confirmed"]).await;
    assert_eq!(shown(&station)[1], "picture gif");
    station.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pictures_whose_key_is_lost_are_said_and_their_text_goes_on() {
    let gallery = Gallery::open().await;
    let mut station = Station::with(with_gallery(&gallery, "")).await;
    station.take_in(&[standard(&uid(), "look", &[gallery.url("a.gif")])]).await;
    station.vars.insert("TALKBACK_DATA_KEYS".to_owned(), format!("k2:{}", STANDARD.encode([8; 32])));
    station.settings = Settings::from_vars(&station.vars).unwrap();
    station.start_dispatcher();
    station.lines(2).await;
    assert_eq!(shown(&station)[1], "1 picture could not be sent: Talkback had to give up.");
    station.until("select state from deliveries", &["confirmed"]).await;
    station.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_picture_over_http_is_taken_from_an_opened_host_and_from_no_other() {
    let gallery = Gallery::open().await;
    let mut station = Station::with(with_gallery(&gallery, "")).await;
    station.start_dispatcher();
    let relay = station.relay("send");
    let send = async |url: &str| send_as(&relay, KEY, &json!({ "body": "look", "images": [url] })).await;
    assert_eq!(send(&gallery.url("a.gif")).await.status, 202);
    station.lines(2).await;
    assert_eq!(shown(&station)[1], "picture gif");
    send("http://example.org/a.gif").await.is_problem(400, &["images"]);
    station.end().await;
}
