//! `infra/nginx.conf`: a real nginx with it, and what it lets through, keeps out and writes down.
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::Request;
use nix::sys::signal::Signal;
use reqwest::Client;
use tokio::net::{TcpListener, TcpStream};
use xtask::children::Child;
use xtask::pids::Ledger;
use xtask::{accounts, ports, programs};

use super::text;
use crate::process::emulator::{folder, start_with};
use crate::process::works::{PATIENCE, eventually};

const TOKEN: &str = "callback-token-that-nobody-may-read";

struct Proxy {
    child: Child,
    folder: PathBuf,
    /// Of this story's own: with TLS, and without.
    ports: (u16, u16),
}

fn openssl(folder: &Path) {
    let mut command = Command::new(programs::find("openssl").unwrap());
    command.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]);
    command.args(["-subj", "/CN=talkback.example.org", "-addext", "subjectAltName=IP:127.0.0.1"]);
    command.args(["-addext", "basicConstraints=critical,CA:FALSE"]).arg("-keyout").arg(folder.join("privkey.pem"));
    programs::output(command.arg("-out").arg(folder.join("fullchain.pem"))).unwrap();
}

/// The file with addresses and places of this story, in the least of an nginx.conf around it; nothing else differs.
fn configuration(folder: &Path, ports: (u16, u16), host: u16) -> String {
    let place = folder.display();
    let mut site = text("nginx.conf");
    let changes = [
        ("listen 443", format!("listen 127.0.0.1:{}", ports.0)),
        ("listen 80;", format!("listen 127.0.0.1:{};", ports.1)),
        ("/etc/letsencrypt/live/talkback.example.org", place.to_string()),
        ("/var/log/nginx", place.to_string()),
        ("http://127.0.0.1:8080", format!("http://127.0.0.1:{host}")),
    ];
    for (from, to) in changes {
        assert!(site.contains(from), "infra/nginx.conf has no {from}");
        site = site.replace(from, &to);
    }
    // A machine without IPv6 has nothing to listen on there.
    let site: String = site.lines().filter(|line| !line.contains("listen [::]:")).map(|l| format!("{l}\n")).collect();
    let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|kind| format!("{kind}_temp_path {place}/{kind};\n"))
        .concat();
    format!(
        "daemon off;\nworker_processes 1;\npid {place}/nginx.pid;\nerror_log {place}/error.log;\nevents {{}}\n\
         http {{\n{temporary}access_log {place}/access.log;\n{site}}}\n"
    )
}

impl Proxy {
    async fn start(story: &str, host: u16) -> (Self, Client) {
        let folder = folder(story);
        let ledger = Arc::new(Ledger::open(folder.join("pids")).unwrap());
        openssl(&folder);
        let ports = (ports::free().unwrap(), ports::free().unwrap());
        let file = folder.join("nginx.conf");
        fs::write(&file, configuration(&folder, ports, host)).unwrap();
        let nginx = programs::find("nginx").unwrap();
        let mut check = Command::new(&nginx);
        let checked = check.args(["-t", "-q", "-p"]).arg(&folder).arg("-c").arg(&file).output().unwrap();
        let said = String::from_utf8_lossy(&checked.stderr).into_owned();
        assert!(checked.status.success() && said.is_empty(), "{said}");
        let mut command = accounts::command(&nginx, None, &folder, "QUIT").unwrap();
        command.arg("-p").arg(&folder).arg("-c").arg(&file);
        let child = start_with(Signal::SIGQUIT, "nginx", command, &folder, &ledger);
        eventually("nginx", async || TcpStream::connect(("127.0.0.1", ports.0)).await.ok().map(drop)).await;
        let pem = fs::read(folder.join("fullchain.pem")).unwrap();
        let tls = talkback::tls::client_with(&pem).unwrap();
        let client = Client::builder().tls_backend_preconfigured(tls).no_proxy().build().unwrap();
        (Self { child, folder, ports }, client)
    }

    fn url(&self, path: &str) -> String {
        format!("https://127.0.0.1:{}{path}", self.ports.0)
    }

    /// Ends nginx, and gives all that it has written, by file.
    fn written(mut self) -> Vec<(String, String)> {
        self.child.stop(PATIENCE);
        let ours = ["nginx.conf", "privkey.pem", "fullchain.pem", "pids"];
        let files = fs::read_dir(&self.folder).unwrap().map(|entry| entry.unwrap().path());
        files
            .filter(|file| file.is_file())
            .map(|file| (file.file_name().unwrap().to_string_lossy().into_owned(), file))
            .filter(|(name, _)| !ours.contains(&name.as_str()))
            .map(|(name, file)| (name, String::from_utf8_lossy(&fs::read(file).unwrap()).into_owned()))
            .collect()
    }
}

async fn status(client: &Client, method: reqwest::Method, url: &str) -> u16 {
    client.request(method, url).timeout(PATIENCE).send().await.unwrap().status().as_u16()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_proxy_speaks_tls_lets_the_doors_through_and_writes_down_no_secret() {
    let heard = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&heard);
    let host = Router::new().fallback(move |request: Request| {
        let scheme = request.headers().get("x-forwarded-proto").map(|value| value.to_str().unwrap().to_owned());
        log.lock().unwrap().push(format!("{} {} {scheme:?}", request.method(), request.uri()));
        async { "said" }
    });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async { axum::serve(listener, host).await });
    let (proxy, client) = Proxy::start("proxy", port).await;

    let callback = format!("/groupme/callback/{TOKEN}");
    assert_eq!(status(&client, reqwest::Method::GET, &proxy.url("/health")).await, 200);
    assert_eq!(status(&client, reqwest::Method::POST, &proxy.url(&callback)).await, 200);
    let uid = "/messages/5f0f9a52-9f50-4b0e-8a58-0d4de1f1a6d3";
    assert_eq!(status(&client, reqwest::Method::GET, &proxy.url(uid)).await, 200);
    for local in ["/metrics", "/livez", "/readyz"] {
        assert_eq!(status(&client, reqwest::Method::GET, &proxy.url(local)).await, 404, "{local}");
    }
    let clear = format!("http://127.0.0.1:{}/send", proxy.ports.1);
    assert_eq!(status(&client, reqwest::Method::POST, &clear).await, 404);
    let large = client.post(proxy.url("/send")).body(vec![b' '; 200_000]).send().await.unwrap();
    assert_eq!(large.status(), 413);
    let https = "Some(\"https\")";
    assert_eq!(
        *heard.lock().unwrap(),
        [format!("GET /health {https}"), format!("POST {callback} {https}"), format!("GET {uid} {https}")]
    );

    let written = proxy.written();
    let (_, access) = written.iter().find(|(name, _)| name == "talkback.log").unwrap();
    let routes: Vec<&str> = access.lines().map(|line| line.split(' ').nth(3).unwrap()).collect();
    let others = ["other"; 3];
    assert_eq!(routes[..3], ["/health", "/groupme/callback/-", "/messages/-"]);
    assert_eq!((&routes[3..6], &routes[6..]), (&others[..], &["/send"][..]));
    for (name, text) in written {
        assert!(!text.contains(TOKEN) && !text.contains("5f0f9a52"), "{name}: {text}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_proxy_writes_down_no_secret_either_when_nobody_is_behind_it() {
    let (proxy, client) = Proxy::start("proxy-alone", ports::free().unwrap()).await;
    let url = proxy.url(&format!("/groupme/callback/{TOKEN}"));
    assert_eq!(status(&client, reqwest::Method::POST, &url).await, 502);
    let written = proxy.written();
    assert!(written.iter().any(|(name, text)| name == "talkback.log" && text.contains("/groupme/callback/- 502")));
    for (name, text) in written {
        assert!(!text.contains(TOKEN), "{name}: {text}");
    }
}
