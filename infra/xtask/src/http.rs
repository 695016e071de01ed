//! As much HTTP as is needed to ask our own servers on 127.0.0.1 whether they are there.

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::Duration,
};

use anyhow::{Context, Result, bail};

/// An answer: its status and its body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The body, as text.
    pub body: String,
}

/// Asks for a URL like `http://127.0.0.1:9000/health`.
///
/// # Errors
/// If nobody answers within the time, or what answers does not speak HTTP.
pub fn get(url: &str, patience: Duration) -> Result<Answer> {
    request("GET", url, &[], "", patience)
}

/// Posts JSON.
///
/// # Errors
/// As [`get`].
pub fn post(url: &str, json: &str, patience: Duration) -> Result<Answer> {
    request("POST", url, &JSON, json, patience)
}

/// Posts JSON, and waits for no answer.
///
/// # Errors
/// If nobody listens there.
pub fn leave(url: &str, json: &str, patience: Duration) -> Result<()> {
    send("POST", url, &JSON, json, patience).map(drop)
}

/// Asks with these headers beside the usual ones.
///
/// # Errors
/// As [`get`].
pub fn request(method: &str, url: &str, headers: &[(&str, &str)], body: &str, patience: Duration) -> Result<Answer> {
    let mut stream = send(method, url, headers, body, patience)?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).context("no answer in time")?;
    parse(&String::from_utf8_lossy(&answer))
}

const JSON: [(&str, &str); 1] = [("Content-Type", "application/json")];

fn send(method: &str, url: &str, headers: &[(&str, &str)], body: &str, patience: Duration) -> Result<TcpStream> {
    let rest = url.strip_prefix("http://").context("not an http URL")?;
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    let mut stream = TcpStream::connect(host).context("nobody listens there")?;
    stream.set_read_timeout(Some(patience))?;
    stream.set_write_timeout(Some(patience))?;
    // Version 1.0: the answer is not chunked and the connection ends with it.
    let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    write!(
        stream,
        "{method} /{path} HTTP/1.0\r\nHost: {host}\r\n{headers}Content-Length: {}\r\n\r\n{body}",
        body.len()
    )?;
    Ok(stream)
}

fn parse(answer: &str) -> Result<Answer> {
    let (head, body) = answer.split_once("\r\n\r\n").context("the answer is cut off")?;
    let mut words = head.split(' ');
    if !words.next().is_some_and(|version| version.starts_with("HTTP/1.")) {
        bail!("that is not HTTP");
    }
    let status = words.next().and_then(|status| status.get(..3)?.parse().ok()).context("the answer has no status")?;
    Ok(Answer { status, body: body.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_has_a_status_and_a_body() {
        let answer = parse("HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\n\r\n{\"a\": 1}\r\n\r\n").unwrap();
        assert_eq!(answer, Answer { status: 503, body: "{\"a\": 1}\r\n\r\n".to_owned() });
        assert!(parse("SSH-2.0-x\r\n\r\n").is_err());
        assert!(parse("HTTP/1.1 200 OK\r\n").is_err());
    }
}
