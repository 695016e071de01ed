//! What a server sends: only a gif, jpeg or png within the cap and the time is a picture.
use std::time::{Duration, Instant};

use talkback::picture::{Kind, Missing};
use tokio::io::AsyncWriteExt as _;

use crate::server::{Server, http};
use crate::{GIF, LONG, MAX_BYTES, fetch, fetch_with, refused, settings};

/// `gzip` of "GIF89a" and 5,000 zeros.
const GZIPPED_GIF: &[u8] = &[
    0x1f, 0x8b, 0x08, 0x00, 0x00, 0x00, 0x00, 0x00, 0x02, 0x03, 0xed, 0xc1, 0x41, 0x11, 0x00, 0x30, 0x08, 0x00, 0xa0,
    0xc5, 0x72, 0x05, 0xf4, 0x8c, 0x61, 0xff, 0x12, 0xa6, 0xf0, 0x07, 0x54, 0x67, 0xfc, 0x79, 0x00, 0x00, 0x00, 0x00,
    0xc0, 0xb9, 0x05, 0x50, 0x06, 0x9d, 0xa5, 0x8e, 0x13, 0x00, 0x00,
];

/// Short enough to wait for.
const SHORT: Duration = Duration::from_millis(300);

#[tokio::test]
async fn a_picture_is_fetched_and_told_by_its_own_bytes() {
    let files: [(&[u8], Kind); 3] =
        [(GIF, Kind::Gif), (b"\xff\xd8\xff\xe0 jfif", Kind::Jpeg), (b"\x89PNG\r\n\x1a\n.", Kind::Png)];
    for (file, kind) in files {
        let server = Server::saying(vec![http(200, "Content-Type: text/html\r\n", file)]).await;
        let fetched = fetch(&[&server.site()], &server.url("/cat.gif?size=1#top")).await;
        let picture = fetched.result.unwrap();
        assert_eq!((picture.kind, &picture.bytes[..]), (kind, file));
        assert_eq!((fetched.host.as_deref(), fetched.status), (Some("127.0.0.1"), Some(200)));
        let [request] = &server.requests()[..] else { panic!("{:?}", server.requests()) };
        let request = request.to_ascii_lowercase();
        assert!(request.starts_with("get /cat.gif?size=1 http/1.1\r\n"), "{request}");
        for header in [
            format!("host: {}", server.address),
            "accept: image/gif, image/jpeg, image/png".to_owned(),
            "accept-encoding: identity".to_owned(),
            concat!("user-agent: talkback/", env!("CARGO_PKG_VERSION")).to_owned(),
        ] {
            assert!(request.contains(&format!("\r\n{header}\r\n")), "{header}: {request}");
        }
        for header in ["authorization", "cookie", "referer"] {
            assert!(!request.contains(header), "{request}");
        }
    }
}

#[tokio::test]
async fn an_endless_body_is_cut_off_at_the_cap() {
    for head in [
        &b"HTTP/1.1 200 OK\r\n\r\nGIF89a"[..],
        b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\nContent-Length: 100000\r\n\r\nGIF89a",
    ] {
        let mut server = Server::pouring(head.to_vec(), &[0; 10_000], Duration::ZERO).await;
        let fetched = fetch(&[&server.site()], &server.url("/")).await;
        if head.len() < 40 {
            assert_eq!(fetched.result.unwrap_err(), Missing::TooLarge);
        } else {
            assert_eq!(fetched.result.unwrap().bytes.len() as u64, MAX_BYTES, "the announced length is all there is");
        }
        // What the kernel's buffers took in between is the machine's, not ours.
        assert!(server.sent().await < 50_000_000, "the connection was closed");
    }
}

#[tokio::test]
async fn an_endless_chunked_body_is_cut_off_at_the_cap() {
    let head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n6\r\nGIF89a\r\n";
    let mut server = Server::pouring(head.to_vec(), b"8\r\n\0\0\0\0\0\0\0\0\r\n", Duration::ZERO).await;
    assert_eq!(refused(&server).await, Some(Missing::TooLarge));
    assert!(server.sent().await < 50_000_000, "the connection was closed");
}

#[tokio::test]
async fn a_length_above_the_cap_is_refused_before_anything_is_read() {
    for length in [MAX_BYTES + 1, 1 << 60] {
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n");
        // Nothing comes after the head, so that a fetch that reads would be silent.
        let server = Server::start(move |_, mut stream| {
            let head = head.clone();
            async move {
                stream.write_all(head.as_bytes()).await.unwrap();
                std::future::pending().await
            }
        })
        .await;
        assert_eq!(refused(&server).await, Some(Missing::TooLarge), "{length}");
    }
    let mut just = GIF.to_vec();
    just.resize(MAX_BYTES as usize, 0);
    let server = Server::saying(vec![http(200, "", &just)]).await;
    assert_eq!(refused(&server).await, None, "the cap itself is not too large");
}

#[tokio::test]
async fn a_body_shorter_than_its_announced_length_is_no_picture_cut_in_two() {
    let mut answer = b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n".to_vec();
    answer.extend_from_slice(GIF);
    let server = Server::saying(vec![answer]).await;
    assert_eq!(refused(&server).await, Some(Missing::Unreachable));
}

#[tokio::test]
async fn what_is_no_picture_is_refused_whatever_its_type_says() {
    let bodies: [&[u8]; 7] = [
        b"<html><body>a cat</body></html>",
        b"<svg xmlns=\"http://www.w3.org/2000/svg\"/>",
        b"RIFF\x10\x00\x00\x00WEBPVP8 ",
        b"\x00\x00\x00\x18ftypheic",
        b"BEGIN:VCARD\r\nFN:A\r\nEND:VCARD",
        b"GIF8",
        b"",
    ];
    for body in bodies {
        let server = Server::saying(vec![http(200, "Content-Type: image/png\r\n", body)]).await;
        assert_eq!(refused(&server).await, Some(Missing::NoPicture), "{body:?}");
        assert_eq!(server.requests().len(), 1, "asking again would change nothing");
    }
}

#[tokio::test]
async fn an_endless_page_is_left_after_its_first_bytes() {
    let mut server = Server::pouring(b"HTTP/1.1 200 OK\r\n\r\n".to_vec(), b"<html>", Duration::from_millis(1)).await;
    assert_eq!(refused(&server).await, Some(Missing::NoPicture));
    assert!(server.sent().await < 10_000);
}

#[tokio::test]
async fn nothing_is_unpacked() {
    let server =
        Server::saying(vec![http(200, "Content-Encoding: gzip\r\nContent-Type: image/gif\r\n", GZIPPED_GIF)]).await;
    assert_eq!(refused(&server).await, Some(Missing::NoPicture));
    for coding in ["gzip", "br", "deflate", "zstd"] {
        let server = Server::saying(vec![http(200, &format!("Content-Encoding: {coding}\r\n"), GIF)]).await;
        let picture = fetch(&[&server.site()], &server.url("/")).await.result.unwrap();
        assert_eq!(&picture.bytes[..], GIF, "{coding}: the bytes are taken as they are");
    }
}

#[tokio::test]
async fn twenty_seconds_of_silence_are_not_waited_for() {
    let server = Server::start(|_, stream| async move {
        let _open = stream;
        std::future::pending().await
    })
    .await;
    // Once by the setting, once by the caller's own limit.
    for (timeout, until) in [(SHORT, LONG), (LONG, SHORT)] {
        let mut settings = settings(&[&server.site()]);
        settings.media.timeout = timeout;
        let fetcher = talkback::fetch::Fetcher::new(&settings, talkback::fetch::Names::system()).unwrap();
        let began = Instant::now();
        let fetched = fetcher.picture(&server.url("/"), tokio::time::Instant::now() + until).await;
        assert_eq!((fetched.result.unwrap_err(), fetched.status), (Missing::Silent, None));
        assert!(began.elapsed() >= SHORT && began.elapsed() < LONG / 2);
    }
}

#[tokio::test]
async fn a_body_that_drips_does_not_hold_us_beyond_the_limit() {
    for head in [
        "HTTP/1.1 200 OK\r\n\r\nGIF89a..",
        "HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\nGIF89a..",
        "HTTP/1.1 200 OK\r\nX: ",
    ] {
        let mut server = Server::pouring(head.into(), b".", Duration::from_millis(20)).await;
        let mut settings = settings(&[&server.site()]);
        settings.media.timeout = SHORT;
        let fetched = fetch_with(&settings, talkback::fetch::Names::system(), &server.url("/")).await;
        assert_eq!(fetched.result.unwrap_err(), Missing::Silent, "{head:?}");
        assert!(server.sent().await < 10_000, "the connection was closed");
    }
}

#[tokio::test]
async fn a_bomb_of_headers_is_not_read_to_its_end() {
    for header in [&b"X-Bomb: boom\r\n"[..], &[b'x'; 10_000]] {
        let mut server = Server::pouring(b"HTTP/1.1 200 OK\r\n".to_vec(), header, Duration::ZERO).await;
        assert_eq!(refused(&server).await, Some(Missing::Unreachable));
        assert!(server.sent().await < 50_000_000, "the connection was closed");
    }
    let many = "X-Bomb: boom\r\n".repeat(200);
    let server = Server::saying(vec![http(200, &many, GIF)]).await;
    assert_eq!(refused(&server).await, Some(Missing::Unreachable));
}
