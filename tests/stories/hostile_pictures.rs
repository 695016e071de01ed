//! Pictures from people who mean harm: none reaches what it should not, none harms its neighbours, and the room is told
//! in one notice.
use std::net::SocketAddr;
use std::time::Duration;

use serde_json::json;
use talkback::fetch::Names;
use tokio::net::TcpListener;
use tokio::time::{Instant, timeout};
use uuid::Uuid;

use crate::front_end::FrontEnd;
use crate::gallery::Gallery;
use crate::pictures::{standard, with_gallery};
use crate::station::{GROUP, Setup, Station};

fn uid() -> String {
    Uuid::new_v4().to_string()
}

/// Sends one bad picture beside a good one, and returns the notice that the room shows.
async fn notice_of(bad: &str, media: &str) -> String {
    let gallery = Gallery::open().await;
    let mut station = Station::with(with_gallery(&gallery, media)).await;
    station.start_dispatcher();
    let bad = if bad.contains("://") { bad.to_owned() } else { gallery.url(bad) };
    station.consume(&[standard(&uid(), "look", &[bad, gallery.url("a.gif")]), standard(&uid(), "next", &[])]).await;
    let lines = station.lines(4).await;
    assert!(lines[0].text.as_deref().unwrap().contains("1 media item attached"));
    assert!(lines[1].picture_url.is_some());
    assert!(lines[3].text.as_deref().unwrap().starts_with("\"next\""));
    assert!(gallery.asked().iter().all(|path| path != "secret.gif"), "what is forbidden was asked for");
    station.until("select state from deliveries", &["confirmed", "confirmed"]).await;
    let failed = "select count(*)::text from api_calls where operation = 'fetch' and outcome = 'failed'";
    assert_eq!(station.column(failed).await, ["1"]);
    station.end().await;
    lines[2].text.clone().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endless_body_is_cut_off_where_it_is_too_large() {
    let notice = notice_of("endless", "max_bytes = 100000").await;
    assert_eq!(notice, "1 picture could not be sent: too large.");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_called_a_picture_and_is_none_is_not_sent() {
    assert_eq!(notice_of("page", "").await, "1 picture could not be sent: no gif, jpeg or png.");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gzip_bomb_is_not_unpacked() {
    assert_eq!(notice_of("gzip", "max_bytes = 100000").await, "1 picture could not be sent: no gif, jpeg or png.");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redirect_to_the_clouds_metadata_is_not_followed() {
    assert_eq!(notice_of("metadata", "").await, "1 picture could not be sent: at an address that is not allowed.");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redirect_to_this_machine_in_the_clothes_of_ipv6_is_not_followed() {
    assert_eq!(notice_of("mapped", "").await, "1 picture could not be sent: at an address that is not allowed.");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redirect_to_this_machine_by_its_name_is_not_followed() {
    assert_eq!(notice_of("loopback", "").await, "1 picture could not be sent: at an address that is not allowed.");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_a_user_in_the_address_and_another_port_are_not_asked_for() {
    for bad in ["file:///etc/passwd", "https://user:secret@example.org/a.gif", "https://example.org:8443/a.gif"] {
        assert_eq!(notice_of(bad, "").await, "1 picture could not be sent: at an address that is not allowed.");
    }
}

/// The name leads to a public address and to a private one: which of them is connected to is a matter of luck, so
/// neither is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_that_leads_to_two_addresses_of_which_one_is_private_is_not_asked() {
    let gallery = Gallery::open().await;
    let private = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = private.local_addr().unwrap().port();
    let mut station = Station::with(with_gallery(&gallery, "")).await;
    let public: SocketAddr = "93.184.215.14:443".parse().unwrap();
    station.names = Some(Names::new(move |host, _| async move {
        assert_eq!(host, "two-faced.example.org");
        Ok(vec![public, SocketAddr::from(([127, 0, 0, 1], port))])
    }));
    station.start_dispatcher();
    let images = ["https://two-faced.example.org/a.gif".to_owned()];
    station.consume(&[standard(&uid(), "look", &images)]).await;
    let lines = station.lines(2).await;
    let notice = lines[1].text.as_deref();
    assert_eq!(notice, Some("1 picture could not be sent: at an address that is not allowed."));
    let nobody = timeout(Duration::from_millis(1), private.accept()).await;
    assert!(nobody.is_err(), "the private address was connected to");
    station.end().await;
}

/// With the times as they are delivered: the front end takes its text back after 15 s, and gets its answer before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_silent_for_20_s_does_not_cost_the_front_end_its_answer() {
    let gallery = Gallery::open().await;
    let front_end = FrontEnd::answering(&[200]).await;
    let setup = with_gallery(&gallery, "");
    let vars = [setup.vars.clone(), vec![("ACK_URL", front_end.url())]].concat();
    let mut station = Station::with(Setup { vars, ..setup }).await;
    station.start_dispatcher();
    let text = json!({
        "From": "+12075550123", "Body": "look", "NumMedia": "2", "wbor_message_id": uid(),
        "MediaUrl0": gallery.url("silence"), "MediaUrl1": gallery.url("a.jpg"),
    });
    let sent = Instant::now();
    station.consume(&[Station::message("source.twilio.sms.incoming", &text)]).await;
    station.until("select answer from messages", &["given"]).await;
    // Not how fast we are: this is when the front end would have posted the text a second time.
    assert!(sent.elapsed() < Duration::from_secs(15), "the front end has taken over");
    assert_eq!(front_end.heard().len(), 1);
    let lines = station.sim.lines(GROUP);
    assert_eq!(lines.len(), 3);
    assert!(lines[0].text.as_deref().unwrap().contains("1 media item attached"));
    assert!(lines[1].picture_url.is_some());
    assert_eq!(lines[2].text.as_deref(), Some("1 picture could not be sent: not there in time."));
    station.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_bad_pictures_are_said_in_one_notice_with_each_reason() {
    let gallery = Gallery::open().await;
    let mut station = Station::with(with_gallery(&gallery, "max_bytes = 100000")).await;
    station.start_dispatcher();
    let images = ["page", "metadata", "endless", "gone", "mapped"].map(|name| gallery.url(name));
    station.consume(&[standard(&uid(), "look", &images)]).await;
    let lines = station.lines(2).await;
    assert_eq!(
        lines[1].text.as_deref(),
        Some(
            "5 pictures could not be sent: 1 no gif, jpeg or png; 2 at an address that is not allowed; 1 too large; \
             1 not to be had at its address."
        )
    );
    station.end().await;
}
