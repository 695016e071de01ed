//! Until when a call may begin: who was frozen, or starved, must notice that the world went on before anything of it
//! leaves the process. The last look is as late as it can be, when the connection is there and the request about to be
//! written, for a handshake alone takes longer than everything before it.
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

/// A moment, for measuring from: a freeze may stop the monotonic clock or not, and the wall clock may be set back; the
/// larger of both is never too small by more than both errors at once.
#[derive(Clone, Copy, Debug)]
pub struct Since {
    monotonic: Instant,
    wall: SystemTime,
}

impl Since {
    /// This moment.
    #[must_use]
    pub fn now() -> Self {
        Self { monotonic: Instant::now(), wall: SystemTime::now() }
    }

    /// What has passed since.
    #[must_use]
    pub fn elapsed(self) -> Duration {
        self.monotonic.elapsed().max(self.wall.elapsed().unwrap_or_default())
    }
}

/// Lets a request out until so long after a moment, and then no more.
#[derive(Clone, Copy, Debug)]
pub struct Guard {
    since: Since,
    within: Duration,
}

impl Guard {
    /// Open until `within` has passed since that moment.
    #[must_use]
    pub fn new(since: Since, within: Duration) -> Self {
        Self { since, within }
    }

    /// Open from now on for so long.
    #[must_use]
    pub fn from_now(within: Duration) -> Self {
        Self::new(Since::now(), within)
    }

    /// Whether a call may begin.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.since.elapsed() < self.within
    }

    /// A body that is only given out while the guard is open. hyper asks for it after the connection is made, and writes
    /// head and body together: where the guard is closed by then, no server has a request that it could act on.
    pub(crate) fn body(self, content: Vec<u8>) -> reqwest::Body {
        reqwest::Body::wrap(Guarded { guard: self, content: Some(content.into()) })
    }

    /// Whether a request failed because the guard was closed.
    pub(crate) fn has_stopped(error: &reqwest::Error) -> bool {
        let mut next: Option<&(dyn std::error::Error + 'static)> = Some(error);
        while let Some(error) = next {
            if error.is::<Closed>() {
                return true;
            }
            next = error.source();
        }
        false
    }
}

/// The guard was closed when the request could have gone out.
#[derive(Debug, thiserror::Error)]
#[error("too late to call")]
struct Closed;

struct Guarded {
    guard: Guard,
    content: Option<Bytes>,
}

impl Body for Guarded {
    type Data = Bytes;
    type Error = Closed;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Closed>>> {
        let open = self.guard.is_open();
        Poll::Ready(self.content.take().map(|content| if open { Ok(Frame::data(content)) } else { Err(Closed) }))
    }

    fn is_end_stream(&self) -> bool {
        self.content.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.content.as_ref().map_or(0, |content| content.len() as u64))
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    /// What a server gets of a call under this guard, and how the call ends.
    async fn called(guard: Guard) -> (String, Result<reqwest::Response, reqwest::Error>) {
        crate::tls::install_ring();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/bots/post", listener.local_addr().unwrap());
        let server = async {
            let (mut socket, _) = listener.accept().await.unwrap();
            let (mut heard, mut chunk) = (Vec::new(), [0; 1024]);
            while let Ok(count @ 1..) = socket.read(&mut chunk).await {
                heard.extend_from_slice(&chunk[..count]);
                if heard.ends_with(b"said") {
                    socket.write_all(b"HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n").await.unwrap();
                    break;
                }
            }
            String::from_utf8(heard).unwrap()
        };
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        tokio::join!(server, client.post(url).body(guard.body(b"said".to_vec())).send())
    }

    #[tokio::test]
    async fn what_is_in_time_is_a_request_like_any_other() {
        let (heard, answer) = called(Guard::from_now(Duration::from_secs(60))).await;
        assert_eq!(answer.unwrap().status(), 202);
        assert!(heard.starts_with("POST /bots/post HTTP/1.1\r\n") && heard.ends_with("\r\n\r\nsaid"), "{heard}");
        assert!(heard.contains("content-length: 4\r\n") && !heard.contains("chunked"), "{heard}");
    }

    #[tokio::test]
    async fn of_what_is_too_late_no_server_hears_a_byte() {
        let (heard, answer) = called(Guard::from_now(Duration::ZERO)).await;
        let error = answer.unwrap_err();
        assert_eq!((heard.as_str(), Guard::has_stopped(&error), error.is_connect()), ("", true, false));
    }

    #[tokio::test]
    async fn a_server_that_is_away_has_nothing_to_do_with_it() {
        crate::tls::install_ring();
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let body = Guard::from_now(Duration::from_secs(60)).body(Vec::new());
        let error = client.post("http://127.0.0.1:1/").body(body).send().await.unwrap_err();
        assert!(error.is_connect() && !Guard::has_stopped(&error));
    }
}
