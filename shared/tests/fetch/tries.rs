//! One more try where the next moment may be another, and not where it cannot.
use std::time::Duration;

use talkback::picture::Missing;
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};

use crate::server::{Server, http};
use crate::{GIF, fetch, fetch_with, refused, settings};

/// Closes so that the other side sees a reset.
fn reset(stream: TcpStream) {
    stream.set_zero_linger().unwrap();
}

#[tokio::test]
async fn a_connection_that_is_reset_is_tried_once_more() {
    let server = Server::start(|_, stream| async move {
        reset(stream);
        0
    })
    .await;
    assert_eq!(refused(&server).await, Some(Missing::Unreachable));
    assert_eq!(server.requests().len(), 2);

    let server = Server::start(|place, mut stream| async move {
        let answer = http(200, "", GIF);
        if place == 0 {
            // In the middle of the body.
            stream.write_all(&answer[..answer.len() - 3]).await.unwrap();
            reset(stream);
        } else {
            stream.write_all(&answer).await.unwrap();
        }
        answer.len()
    })
    .await;
    assert_eq!(refused(&server).await, None);
    assert_eq!(server.requests().len(), 2);
}

#[tokio::test]
async fn a_server_in_trouble_is_asked_once_more_and_one_that_refuses_is_not() {
    for status in [429, 500, 502, 503, 504] {
        let server = Server::saying(vec![http(status, "", b""), http(200, "", GIF)]).await;
        assert_eq!(refused(&server).await, None, "{status}");
        let server = Server::saying(vec![http(status, "", GIF)]).await;
        let fetched = fetch(&[&server.site()], &server.url("/")).await;
        assert_eq!((fetched.result.unwrap_err(), fetched.status), (Missing::Status, Some(status)));
        assert_eq!(server.requests().len(), 2, "{status}");
    }
    for status in [204, 206, 400, 401, 403, 404, 410] {
        let server = Server::saying(vec![http(status, "", GIF)]).await;
        let fetched = fetch(&[&server.site()], &server.url("/")).await;
        assert_eq!((fetched.result.unwrap_err(), fetched.status), (Missing::Status, Some(status)));
        assert_eq!(server.requests().len(), 1, "{status}");
    }
}

#[tokio::test]
async fn a_second_try_that_is_cut_off_does_not_hide_how_the_first_ended() {
    let server = Server::start(|place, mut stream| async move {
        if place == 0 {
            stream.write_all(&http(503, "", b"")).await.unwrap();
            return 0;
        }
        let _open = stream;
        std::future::pending().await
    })
    .await;
    let mut settings = settings(&[&server.site()]);
    settings.media.timeout = Duration::from_millis(600);
    let fetched = fetch_with(&settings, talkback::fetch::Names::system(), &server.url("/")).await;
    assert_eq!((fetched.result.unwrap_err(), fetched.status), (Missing::Status, Some(503)));
    assert_eq!(server.requests().len(), 2);
}

#[tokio::test]
async fn nobody_there_and_nobody_trusted_are_unreachable() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let free = listener.local_addr().unwrap();
    drop(listener);
    let fetched = fetch(&[&free.to_string()], &format!("http://{free}/a.gif")).await;
    assert_eq!((fetched.result.unwrap_err(), fetched.status), (Missing::Unreachable, None));

    // It answers a handshake as if it had been asked by http.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let plain = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            stream.write_all(&http(200, "", GIF)).await.unwrap();
        }
    });
    let fetched = fetch(&[&plain.to_string()], &format!("https://{plain}/a.gif")).await;
    assert_eq!((fetched.result.unwrap_err(), fetched.status), (Missing::Unreachable, None));
}

#[tokio::test]
async fn what_is_no_http_is_unreachable() {
    for answer in
        ["", "\r\n\r\n", "GIF89a", "SSH-2.0-x\r\n", "HTTP/1.1 2OO OK\r\n\r\n", "HTTP/9.9 200 OK\r\n\r\nGIF89a"]
    {
        let server = Server::saying(vec![answer.into()]).await;
        assert_eq!(refused(&server).await, Some(Missing::Unreachable), "{answer:?}");
    }
}
