//! GroupMe's picture service: what it is told, what its answers mean, and that no secret is in what we keep of them.
use std::time::Duration;

use bytes::Bytes;
use talkback::channel::{self, Uploaded};
use talkback::picture::{Missing, Picture};

use crate::server::{Server, http};
use crate::{GIF, LONG, settings};

const PNG: &[u8] = b"\x89PNG\r\n\x1a\n.";
const URL: &str = "https://i.groupme.com/1x1.gif.a";

fn answered() -> Vec<u8> {
    http(200, "", serde_json::json!({"payload": {"url": URL, "picture_url": URL}}).to_string().as_bytes())
}

async fn upload(image_url: String, file: &'static [u8], limit: Duration) -> Uploaded {
    let mut settings = settings(&[]);
    settings.groupme.image_url = image_url;
    let channel = channel::make("groupme", &settings).unwrap();
    let uploaded = channel.upload(&Picture::of(Bytes::from_static(file)).unwrap(), limit).await;
    assert!(!format!("{uploaded:?}").contains("hunter"), "{uploaded:?}");
    uploaded
}

fn kinds(uploaded: &Uploaded) -> Vec<(Option<u16>, &'static str)> {
    uploaded.calls.iter().map(|call| (call.status, call.media_type)).collect()
}

#[tokio::test]
async fn a_picture_is_uploaded_with_its_type_and_the_members_token() {
    let server = Server::saying(vec![answered()]).await;
    let uploaded = upload(server.url(""), GIF, LONG).await;
    assert_eq!(kinds(&uploaded), [(Some(200), "image/gif")]);
    assert!(uploaded.calls[0].error.is_none() && uploaded.calls[0].latency < LONG);
    assert_eq!(uploaded.result.unwrap(), URL);
    let [request] = &server.requests()[..] else { panic!("{:?}", server.requests()) };
    let (head, body) = request.split_once("\r\n\r\n").unwrap();
    let head = format!("{}\r\n", head.to_ascii_lowercase());
    assert!(head.starts_with("post /pictures http/1.1\r\n"), "{head}");
    for header in ["x-access-token: hunter3", "content-type: image/gif", &format!("content-length: {}", GIF.len())] {
        assert!(head.contains(&format!("\r\n{header}\r\n")), "{header}: {head}");
    }
    assert_eq!(body.as_bytes(), GIF);
}

#[tokio::test]
async fn a_png_that_is_refused_is_tried_once_more_as_jpeg_and_no_other_is() {
    let server = Server::saying(vec![http(400, "", b""), answered()]).await;
    let uploaded = upload(server.url(""), PNG, LONG).await;
    assert_eq!(kinds(&uploaded), [(Some(400), "image/png"), (Some(200), "image/jpeg")]);
    assert_eq!(uploaded.calls[0].error.as_deref(), Some("HTTP 400"));
    assert_eq!(uploaded.result.unwrap(), URL);

    let server = Server::saying(vec![http(415, "", b"")]).await;
    let uploaded = upload(server.url(""), PNG, LONG).await;
    assert_eq!(uploaded.result.as_ref().unwrap_err(), &Missing::Refused);
    assert_eq!(kinds(&uploaded), [(Some(415), "image/png"), (Some(415), "image/jpeg")]);

    let server = Server::saying(vec![http(400, "", b""), answered()]).await;
    let uploaded = upload(server.url(""), GIF, LONG).await;
    assert_eq!(uploaded.result.as_ref().unwrap_err(), &Missing::Refused);
    assert_eq!(kinds(&uploaded), [(Some(400), "image/gif")]);
}

#[tokio::test]
async fn what_another_type_would_not_change_is_asked_once() {
    let gone = |status| if status == 401 { Missing::Refused } else { Missing::Unavailable };
    for status in [302, 401, 403, 408, 420, 429, 500, 502, 503, 504] {
        let server = Server::saying(vec![http(status, "Location: http://127.0.0.1:9/\r\n", b"hunter3")]).await;
        let uploaded = upload(server.url(""), PNG, LONG).await;
        assert_eq!(uploaded.result.as_ref().unwrap_err(), &gone(status), "{status}");
        assert_eq!(kinds(&uploaded), [(Some(status), "image/png")]);
        assert_eq!(uploaded.calls[0].error, Some(format!("HTTP {status}")));
    }
    let server = Server::saying(vec![http(400, "", br#"{"meta":{"code":429}}"#)]).await;
    let uploaded = upload(server.url(""), PNG, LONG).await;
    assert_eq!((uploaded.result.unwrap_err(), uploaded.calls.len()), (Missing::Unavailable, 1));
}

#[tokio::test]
async fn an_answer_without_an_address_to_show_is_none() {
    for body in ["", "{}", r#"{"payload":{"picture_url":"http://169.254.169.254/hunter3"}}"#] {
        let server = Server::saying(vec![http(200, "", body.as_bytes())]).await;
        let uploaded = upload(server.url(""), GIF, LONG).await;
        assert_eq!(uploaded.result.unwrap_err(), Missing::Unavailable, "{body}");
        assert_eq!(uploaded.calls[0].error.as_deref(), Some("HTTP 200, and no address of a picture"));
    }
}

#[tokio::test]
async fn a_service_that_is_silent_or_away_is_unavailable() {
    let silent = Server::start(|_, stream| async move {
        let _open = stream;
        std::future::pending().await
    })
    .await;
    let uploaded = upload(silent.url(""), PNG, Duration::from_millis(300)).await;
    assert_eq!(uploaded.result.as_ref().unwrap_err(), &Missing::Unavailable);
    assert_eq!(kinds(&uploaded), [(None, "image/png")]);
    assert_eq!(uploaded.calls[0].error.as_deref(), Some("no answer in time"));

    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let free = listener.local_addr().unwrap();
    drop(listener);
    let uploaded = upload(format!("http://{free}"), GIF, LONG).await;
    assert_eq!(uploaded.result.as_ref().unwrap_err(), &Missing::Unavailable);
    assert_eq!(uploaded.calls[0].error.as_deref(), Some("no connection"));
}

#[tokio::test]
async fn without_a_token_nothing_is_uploaded() {
    let server = Server::saying(vec![answered()]).await;
    let mut settings = settings(&[]);
    settings.groupme.image_url = server.url("");
    settings.groupme.access_token = None;
    let channel = channel::make("groupme", &settings).unwrap();
    let uploaded = channel.upload(&Picture::of(Bytes::from_static(GIF)).unwrap(), LONG).await;
    assert_eq!((uploaded.result.unwrap_err(), uploaded.calls.len()), (Missing::NoToken, 0));
    assert!(server.requests().is_empty());
}
