//! Stands between the functions and the Runtime API of cargo-lambda, which never learns that a function has died: it
//! keeps the caller waiting (for ever, or for `--timeout`, after which it also ends functions that merely had nothing
//! to do). Here the death of a function answers its call with an error at once, as Lambda does.

use std::{
    collections::HashMap,
    io::{self, BufRead, BufReader, Write},
    net::{Ipv4Addr, Shutdown, TcpListener, TcpStream},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};

/// The largest body either way: Lambda's own limit is 6 MB, and ours is for damage only.
const LARGEST: usize = 32 << 20;

/// The Runtime API as functions are given it.
#[derive(Clone)]
pub(super) struct RuntimeApi {
    port: u16,
    emulator: u16,
    lives: Arc<Mutex<HashMap<String, Life>>>,
    count: Arc<AtomicU64>,
}

/// One life of an instance, from its start to its death.
struct Life {
    function: String,
    /// The call it works on, and since when.
    call: Option<(String, Instant)>,
    /// Its question for a call, while the emulator has none.
    asking: Option<TcpStream>,
}

/// A request or an answer.
struct Message {
    /// The first line, as it came.
    first: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl RuntimeApi {
    /// Starts to listen.
    ///
    /// # Errors
    /// If there is no port.
    pub(super) fn start(emulator: u16) -> Result<RuntimeApi> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no free port on 127.0.0.1")?;
        let port = listener.local_addr()?.port();
        let api = RuntimeApi { port, emulator, lives: Arc::default(), count: Arc::default() };
        let serving = api.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let serving = serving.clone();
                // It ends when the function closes its connection, or dies.
                thread::spawn(move || drop(serving.serve(stream)));
            }
        });
        Ok(api)
    }

    /// A name for a life that begins.
    pub(super) fn begin(&self, function: &str) -> String {
        let life = format!("{function}.{}", self.count.fetch_add(1, Ordering::Relaxed));
        self.known().insert(life.clone(), Life { function: function.to_owned(), call: None, asking: None });
        life
    }

    /// The value of `AWS_LAMBDA_RUNTIME_API` for it.
    pub(super) fn address(&self, life: &str) -> String {
        format!("http://127.0.0.1:{}/{life}", self.port)
    }

    /// How long it has worked on the call that it works on.
    pub(super) fn busy(&self, life: &str) -> Option<Duration> {
        Some(self.known().get(life)?.call.as_ref()?.1.elapsed())
    }

    /// To be said when it has ended: who waits for it is told. A call that the emulator gives it from now on is
    /// answered where it arrives, in [`serve`](Self::serve).
    pub(super) fn end(&self, life: &str) {
        let Some(dead) = self.known().remove(life) else { return };
        if let Some(asking) = dead.asking {
            drop(asking.shutdown(Shutdown::Both));
        }
        if let Some((call, _)) = dead.call {
            drop(self.tell_of_death(&dead.function, &call));
        }
    }

    fn known(&self) -> MutexGuard<'_, HashMap<String, Life>> {
        self.lives.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does something with a life that has not ended.
    fn with<T>(&self, life: &str, act: impl FnOnce(&mut Life) -> T) -> Option<T> {
        self.known().get_mut(life).map(act)
    }

    /// Passes the requests of one connection on, one after the other.
    fn serve(&self, function: TcpStream) -> io::Result<()> {
        let mut requests = BufReader::new(function.try_clone()?);
        let mut answers = function;
        while let Some(request) = Message::read(&mut requests)? {
            let mut words = request.first.split(' ');
            let (Some(method), Some(path)) = (words.next(), words.next()) else { return Err(damaged()) };
            let (life, rest) = path.trim_start_matches('/').split_once('/').ok_or_else(damaged)?;
            let name = self.with(life, |life| life.function.clone()).ok_or_else(damaged)?;
            let path = format!("/.rt/{name}/{rest}");
            let mut answer = if rest.ends_with("/invocation/next") {
                let answer = self.ask(life, method, &path, &request)?;
                if let Some(call) = answer.header("lambda-runtime-aws-request-id").map(str::to_owned) {
                    let since = Instant::now();
                    if self.with(life, |life| life.call = Some((call.clone(), since))).is_none() {
                        return self.tell_of_death(&name, &call);
                    }
                }
                answer
            } else {
                if rest.contains("/invocation/") {
                    // Its answer is whole, so that the call is answered even if it dies now.
                    self.with(life, |life| life.call = None);
                }
                self.pass_on(TcpStream::connect((Ipv4Addr::LOCALHOST, self.emulator))?, method, &path, &request)?
            };
            // So the emulator says that its caller has gone meanwhile. Lambda tells a function nothing of that.
            if rest.ends_with("/response") && answer.first.split(' ').nth(1) == Some("500") {
                "HTTP/1.1 202 Accepted".clone_into(&mut answer.first);
            }
            answer.write(&mut answers, &answer.first)?;
        }
        Ok(())
    }

    /// Asks for a call, which may take for ever, in such a way that [`end`](Self::end) can end it.
    fn ask(&self, life: &str, method: &str, path: &str, request: &Message) -> io::Result<Message> {
        let emulator = TcpStream::connect((Ipv4Addr::LOCALHOST, self.emulator))?;
        let asking = emulator.try_clone()?;
        self.with(life, |life| life.asking = Some(asking)).ok_or_else(damaged)?;
        let answer = self.pass_on(emulator, method, path, request);
        self.with(life, |life| life.asking = None);
        answer
    }

    fn pass_on(&self, mut emulator: TcpStream, method: &str, path: &str, request: &Message) -> io::Result<Message> {
        request.write(&mut emulator, &format!("{method} {path} HTTP/1.1"))?;
        Message::read(&mut BufReader::new(emulator))?.ok_or_else(damaged)
    }

    fn tell_of_death(&self, function: &str, call: &str) -> io::Result<()> {
        let body =
            serde_json::json!({"errorType": "Runtime.ExitError", "errorMessage": "the function's process ended"});
        let headers = [("host", "127.0.0.1"), ("content-type", "application/json")];
        let error = Message {
            first: String::new(),
            headers: headers.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
            body: body.to_string().into_bytes(),
        };
        let path = format!("/.rt/{function}/2018-06-01/runtime/invocation/{call}/error");
        let emulator = TcpStream::connect((Ipv4Addr::LOCALHOST, self.emulator))?;
        // Who supervises everything waits here.
        emulator.set_read_timeout(Some(Duration::from_secs(2)))?;
        self.pass_on(emulator, "POST", &path, &error).map(drop)
    }
}

impl Message {
    /// Reads one; `None` where the connection ends between two.
    fn read(from: &mut impl BufRead) -> io::Result<Option<Message>> {
        let mut first = String::new();
        if from.read_line(&mut first)? == 0 {
            return Ok(None);
        }
        let mut message = Message { first: first.trim_end().to_owned(), headers: Vec::new(), body: Vec::new() };
        loop {
            let mut line = String::new();
            if from.read_line(&mut line)? == 0 {
                return Err(damaged());
            }
            let line = line.trim_end();
            if line.is_empty() {
                break;
            }
            let (name, value) = line.split_once(':').ok_or_else(damaged)?;
            message.headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        if message.header("transfer-encoding").is_some_and(|coding| coding.contains("chunked")) {
            message.read_chunks(from)?;
        } else {
            let length = message.header("content-length").map_or(Ok(0), str::parse).map_err(|_| damaged())?;
            if length > LARGEST {
                return Err(damaged());
            }
            message.body = vec![0; length];
            from.read_exact(&mut message.body)?;
        }
        Ok(Some(message))
    }

    fn read_chunks(&mut self, from: &mut impl BufRead) -> io::Result<()> {
        loop {
            let mut line = String::new();
            from.read_line(&mut line)?;
            let size = line.split(';').next().unwrap_or("").trim();
            let size = usize::from_str_radix(size, 16).map_err(|_| damaged())?;
            if self.body.len().saturating_add(size) > LARGEST {
                return Err(damaged());
            }
            let start = self.body.len();
            self.body.resize(start + size, 0);
            from.read_exact(&mut self.body[start..])?;
            line.clear();
            from.read_line(&mut line)?;
            if size == 0 {
                return Ok(());
            }
        }
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(is, _)| is == name).map(|(_, value)| value.as_str())
    }

    /// Writes it with another first line, in one piece.
    fn write(&self, to: &mut impl Write, first: &str) -> io::Result<()> {
        let mut bytes = format!("{first}\r\n").into_bytes();
        for (name, value) in &self.headers {
            if !["content-length", "transfer-encoding", "connection"].contains(&name.as_str()) {
                bytes.extend(format!("{name}: {value}\r\n").into_bytes());
            }
        }
        bytes.extend(format!("content-length: {}\r\n\r\n", self.body.len()).into_bytes());
        bytes.extend(&self.body);
        to.write_all(&bytes)
    }
}

fn damaged() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "that is not HTTP as the Runtime API speaks it")
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    /// An emulator that has one call, and says which answers it gets.
    fn emulator(call: &'static str) -> (u16, mpsc::Receiver<String>) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let (sender, heard) = mpsc::channel();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let mut requests = BufReader::new(stream.try_clone().unwrap());
                let mut stream = stream;
                let request = Message::read(&mut requests).unwrap().unwrap();
                sender.send(format!("{} {}", request.first, String::from_utf8_lossy(&request.body))).unwrap();
                let id = format!(
                    "HTTP/1.1 200 OK\r\nLambda-Runtime-Aws-Request-Id: {call}\r\ncontent-length: 2\r\n\r\n{{}}"
                );
                let accepted =
                    "HTTP/1.1 202 Accepted\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n".to_owned();
                let asks = request.first.contains("/next");
                let gone = request.first.contains("/left/");
                let accepted =
                    if gone { accepted.replace("202 Accepted", "500 Internal Server Error") } else { accepted };
                stream.write_all(if asks { id } else { accepted }.as_bytes()).unwrap();
            }
        });
        (port, heard)
    }

    fn request(api: &RuntimeApi, life: &str, text: &str) -> TcpStream {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, api.port)).unwrap();
        stream.write_all(text.replace("LIFE", life).as_bytes()).unwrap();
        stream
    }

    const NEXT: &str = "GET /LIFE/2018-06-01/runtime/invocation/next HTTP/1.1\r\nhost: x\r\n\r\n";
    const SOON: Duration = Duration::from_secs(10);

    #[test]
    fn a_function_is_given_its_call_and_its_answer_arrives() {
        let (port, heard) = emulator("c1");
        let api = RuntimeApi::start(port).unwrap();
        let life = api.begin("send");
        let answer = Message::read(&mut BufReader::new(request(&api, &life, NEXT))).unwrap().unwrap();
        assert_eq!(answer.header("lambda-runtime-aws-request-id"), Some("c1"));
        assert_eq!(answer.body, b"{}");
        assert!(heard.recv_timeout(SOON).unwrap().starts_with("GET /.rt/send/2018-06-01/runtime/invocation/next"));
        assert!(api.busy(&life).is_some());

        let post = "POST /LIFE/2018-06-01/runtime/invocation/c1/response HTTP/1.1\r\ncontent-length: 4\r\n\r\nbody";
        let answer = Message::read(&mut BufReader::new(request(&api, &life, post))).unwrap().unwrap();
        assert_eq!((answer.first.as_str(), answer.body.as_slice()), ("HTTP/1.1 202 Accepted", &b"ok"[..]));
        assert!(heard.recv_timeout(SOON).unwrap().ends_with("/c1/response HTTP/1.1 body"));
        assert!(api.busy(&life).is_none());
        api.end(&life);
        assert!(heard.try_recv().is_err(), "nobody waits, nobody is told");
    }

    #[test]
    fn a_function_is_not_told_that_its_caller_has_gone() {
        let (port, heard) = emulator("left");
        let api = RuntimeApi::start(port).unwrap();
        let life = api.begin("dispatcher");
        let post = "POST /LIFE/2018-06-01/runtime/invocation/left/KIND HTTP/1.1\r\ncontent-length: 2\r\n\r\n{}";
        for (kind, status) in [("response", "202"), ("error", "500")] {
            let answer = request(&api, &life, &post.replace("KIND", kind));
            let answer = Message::read(&mut BufReader::new(answer)).unwrap().unwrap();
            assert_eq!(answer.first.split(' ').nth(1), Some(status), "{kind}");
            assert!(heard.recv_timeout(SOON).unwrap().contains("/invocation/left/"));
        }
    }

    #[test]
    fn the_caller_of_a_function_that_dies_is_told_at_once() {
        let (port, heard) = emulator("c2");
        let api = RuntimeApi::start(port).unwrap();
        let life = api.begin("dispatcher");
        drop(Message::read(&mut BufReader::new(request(&api, &life, NEXT))).unwrap());
        heard.recv_timeout(SOON).unwrap();
        api.end(&life);
        let told = heard.recv_timeout(SOON).unwrap();
        assert!(told.starts_with("POST /.rt/dispatcher/2018-06-01/runtime/invocation/c2/error"), "{told}");
        assert!(told.contains("Runtime.ExitError"), "{told}");
    }

    #[test]
    fn a_dead_function_is_given_no_call() {
        // This emulator has no call, so that the question stays open until it is taken back.
        let silent = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let api = RuntimeApi::start(silent.local_addr().unwrap().port()).unwrap();
        let life = api.begin("send");
        let asking = request(&api, &life, NEXT);
        let (question, _) = silent.accept().unwrap();
        let mut question = BufReader::new(question);
        assert!(Message::read(&mut question).unwrap().unwrap().first.contains("/next"));
        api.end(&life);
        question.get_ref().set_read_timeout(Some(SOON)).unwrap();
        assert!(Message::read(&mut question).unwrap().is_none(), "the question is taken back");
        drop(asking);
    }
}
