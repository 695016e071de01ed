//! The TCP side: connections that can be reset instead of closed, also before their request is read.

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
};

use axum::{extract::connect_info::Connected, serve::IncomingStream};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
};

use crate::world::World;

/// How a post begins on the wire.
const POST: &[u8] = b"POST /v3/bots/post";

/// The listening socket.
pub(crate) struct Door {
    pub(crate) tcp: TcpListener,
    pub(crate) world: Arc<World>,
}

impl axum::serve::Listener for Door {
    type Io = Wire;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Wire, SocketAddr) {
        loop {
            match self.tcp.accept().await {
                Ok((tcp, from)) => {
                    let reset = Reset(Arc::new(AtomicBool::new(false)));
                    return (Wire { tcp, reset, world: Arc::clone(&self.world) }, from);
                }
                // A caller that is gone already, or no file descriptors left: others may free some.
                Err(_) => tokio::task::yield_now().await,
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.tcp.local_addr()
    }
}

/// Lets the handler of a request reset its connection in place of the answer.
#[derive(Clone)]
pub(crate) struct Reset(Arc<AtomicBool>);

impl Reset {
    /// What the handler answers from here on never leaves.
    pub(crate) fn order(&self) {
        self.0.store(true, Ordering::Release);
    }
}

impl Connected<IncomingStream<'_, Door>> for Reset {
    fn connect_info(stream: IncomingStream<'_, Door>) -> Self {
        stream.io().reset.clone()
    }
}

/// One connection.
pub(crate) struct Wire {
    tcp: TcpStream,
    reset: Reset,
    world: Arc<World>,
}

impl Wire {
    /// With no time to linger, the close that follows the error sends RST; nothing may shut down in good order before.
    fn reset(&self) -> io::Error {
        self.reset.order();
        match self.tcp.set_zero_linger() {
            Ok(()) => io::ErrorKind::ConnectionReset.into(),
            Err(error) => error,
        }
    }

    /// An error if the connection is to go without an answer.
    fn check(&self) -> io::Result<()> {
        if self.reset.0.load(Ordering::Acquire) { Err(self.reset()) } else { Ok(()) }
    }
}

impl AsyncRead for Wire {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.check()?;
        let mut head = [0; POST.len()];
        let mut peeked = ReadBuf::new(&mut head);
        ready!(self.tcp.poll_peek(cx, &mut peeked))?;
        if peeked.filled() == POST && self.world.take_reset_before_read() {
            return Poll::Ready(Err(self.reset()));
        }
        Pin::new(&mut self.tcp).poll_read(cx, buf)
    }
}

impl AsyncWrite for Wire {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.check()?;
        Pin::new(&mut self.tcp).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check()?;
        Pin::new(&mut self.tcp).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check()?;
        Pin::new(&mut self.tcp).poll_shutdown(cx)
    }
}
