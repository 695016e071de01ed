//! Where a picture may lie: judged before anything is connected, and connected as judged.
use std::net::SocketAddr;
use std::sync::atomic::Ordering;

use talkback::fetch::Names;
use talkback::picture::Missing;

use crate::server::{Server, http};
use crate::{GIF, fetch, fetch_with, names, settings};

#[tokio::test]
async fn an_address_that_we_do_not_ask_is_refused_without_asking_even_its_name() {
    let urls = [
        // No address at all.
        "",
        "cat.gif",
        "//example.org/a.gif",
        "https://",
        "https:///",
        // Other schemes.
        "http://example.org/a.gif",
        "file:///etc/passwd",
        "file://example.org/a.gif",
        "ftp://example.org/a.gif",
        "gopher://example.org/",
        "data:image/gif;base64,R0lGODlh",
        "ws://example.org/",
        "unix:/run/docker.sock",
        // Other ports.
        "https://example.org:80/a.gif",
        "https://example.org:8443/a.gif",
        "https://example.org:0/a.gif",
        "http://example.org:443/a.gif",
        // User info.
        "https://user@example.org/a.gif",
        "https://user:pw@example.org/a.gif",
        "https://:pw@example.org/a.gif",
        "https://example.org@127.0.0.1/a.gif",
        // This machine and its neighbours, in every spelling.
        "https://127.0.0.1/",
        "https://127.1/",
        "https://127.0.0.1./",
        "https://0x7f.1/",
        "https://0x7f000001/",
        "https://0177.0.0.1/",
        "https://2130706433/",
        "https://%31%32%37.0.0.1/",
        "https://①②⑦.0.0.1/",
        "https://127。0。0。1/",
        "https:\\\\127.0.0.1\\",
        "https:127.0.0.1",
        "https://0/",
        "https://10.0.0.1/",
        "https://100.64.0.1/",
        "https://169.254.169.254/latest/meta-data/",
        "https://172.16.0.1/",
        "https://192.168.1.1/",
        "https://224.0.0.1/",
        "https://255.255.255.255/",
        "https://[::]/",
        "https://[::1]/",
        "https://[::ffff:127.0.0.1]/",
        "https://[::ffff:7f00:1]/",
        "https://[::127.0.0.1]/",
        "https://[64:ff9b::127.0.0.1]/",
        "https://[64:ff9b:1::7f00:1]/",
        "https://[2002:7f00:1::]/",
        "https://[fd00:ec2::254]/",
        "https://[fe80::1]/",
        "https://[ff02::1]/",
    ];
    let (names, asked) = names(|_, _| Vec::new());
    for url in urls {
        let fetched = fetch_with(&settings(&[]), names.clone(), url).await;
        assert_eq!((fetched.result.unwrap_err(), fetched.status), (Missing::Address, None), "{url}");
    }
    let long = format!("https://{}example.org/", "a.".repeat(200));
    let fetched = fetch_with(&settings(&[]), names, &long).await;
    assert_eq!((fetched.result.unwrap_err(), fetched.host), (Missing::Address, None));
    assert_eq!(asked.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_name_of_a_public_and_a_private_address_is_refused_and_neither_is_connected() {
    let server = Server::saying(vec![http(200, "", GIF)]).await;
    let port = server.address.port();
    for [first, second] in [
        ["93.184.215.14", "127.0.0.1"],
        ["127.0.0.1", "93.184.215.14"],
        ["2606:4700::6810:1", "::1"],
        ["2606:4700::6810:1", "::ffff:127.0.0.1"],
        ["93.184.215.14", "169.254.169.254"],
    ] {
        let (names, asked) =
            names(move |_, _| [first, second].map(|ip| SocketAddr::new(ip.parse().unwrap(), port)).into());
        let fetched = fetch_with(&settings(&[]), names, "https://two.example.org/a.gif").await;
        assert_eq!(fetched.result.unwrap_err(), Missing::Address, "{first} {second}");
        assert_eq!((fetched.host.as_deref(), fetched.status), (Some("two.example.org"), None));
        assert_eq!(asked.load(Ordering::SeqCst), 1);
    }
    assert!(server.requests().is_empty());
}

#[tokio::test]
async fn a_name_that_changes_is_asked_once_and_connected_as_it_was_judged() {
    let [first, second] =
        [Server::saying(vec![http(200, "", GIF)]).await, Server::saying(vec![http(200, "", GIF)]).await];
    let addresses = [first.address, second.address];
    let (names, asked) = names(move |place, _| vec![addresses[place.min(1)]]);
    let port = first.address.port();
    let open = format!("changing.example.org:{port}");
    let fetched = fetch_with(&settings(&[&open]), names, &format!("http://{open}/a.gif")).await;
    assert_eq!(&fetched.result.unwrap().bytes[..], GIF);
    assert_eq!(asked.load(Ordering::SeqCst), 1);
    assert_eq!((first.requests().len(), second.requests().len()), (1, 0));
    assert!(first.requests()[0].contains(&format!("host: {open}\r\n")), "{:?}", first.requests());
}

#[tokio::test]
async fn a_name_of_this_machine_is_refused_by_what_it_resolves_to() {
    assert_eq!(fetch(&[], "https://localhost/a.gif").await.result.unwrap_err(), Missing::Address);
}

#[tokio::test]
async fn a_name_of_nobody_is_unreachable() {
    let (nobody, _) = names(|_, _| Vec::new());
    let unknown = Names::new(|_, _| async { Err(std::io::Error::other("no such name")) });
    for names in [nobody, unknown] {
        let fetched = fetch_with(&settings(&[]), names, "https://nobody.example.org/a.gif").await;
        assert_eq!(fetched.result.unwrap_err(), Missing::Unreachable);
    }
}

#[tokio::test]
async fn an_open_host_opens_no_other_port_and_no_user_info() {
    let [open, closed] =
        [Server::saying(vec![http(200, "", GIF)]).await, Server::saying(vec![http(200, "", GIF)]).await];
    let port = open.address.port();
    for url in [
        closed.url("/"),
        format!("http://user@127.0.0.1:{port}/"),
        format!("http://:pw@127.0.0.1:{port}/"),
        format!("http://localhost:{port}/"),
        format!("http://[::ffff:127.0.0.1]:{port}/"),
        format!("ftp://127.0.0.1:{port}/"),
    ] {
        assert_eq!(fetch(&[&open.site()], &url).await.result.unwrap_err(), Missing::Address, "{url}");
    }
    assert!(open.requests().is_empty() && closed.requests().is_empty());
}

#[tokio::test]
async fn a_result_quotes_neither_path_nor_query() {
    let server = Server::saying(vec![http(404, "", b"hunter2")]).await;
    let url = server.url("/hunter2/a.gif?token=hunter2#hunter2");
    let fetched = fetch(&[&server.site()], &url).await;
    assert_eq!((fetched.host.as_deref(), fetched.status), (Some("127.0.0.1"), Some(404)));
    let refused = fetch(&[], &url.replace("http://", "http://hunter2:hunter2@")).await;
    assert!(!format!("{fetched:?} {refused:?}").contains("hunter2"), "{fetched:?} {refused:?}");
}
