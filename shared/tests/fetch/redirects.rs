//! Redirects: three at most, each judged as the first address was, and never with the account's password.
use talkback::picture::Missing;

use crate::server::{Server, http, to};
use crate::{GIF, SID, fetch, fetch_with, names, settings};

#[tokio::test]
async fn a_redirect_to_what_we_do_not_ask_is_not_followed() {
    for location in [
        "http://169.254.169.254/latest/meta-data/",
        "https://169.254.169.254/latest/meta-data/",
        "http://[::ffff:127.0.0.1]/",
        "https://[::ffff:127.0.0.1]/",
        "https://[::ffff:169.254.169.254]/",
        "//169.254.169.254/",
        "https://0x7f.1/",
        "https://user:pw@example.org/",
        "https://example.org:8443/",
        "http://example.org/",
        "file:///etc/passwd",
        "ftp://example.org/a.gif",
        "data:image/gif;base64,R0lGODlh",
        "https://",
        "http://[",
        "\u{fffd}",
    ] {
        let server = Server::saying(vec![to(location)]).await;
        let fetched = fetch(&[&server.site()], &server.url("/a.gif")).await;
        let result = (fetched.result.unwrap_err(), fetched.status);
        assert_eq!(result, (Missing::Address, Some(302)), "{location}");
        assert_eq!(server.requests().len(), 1, "{location}");
    }
    let nowhere = Server::saying(vec![http(302, "", GIF)]).await;
    assert_eq!(crate::refused(&nowhere).await, Some(Missing::Address));
}

#[tokio::test]
async fn a_redirect_from_an_open_host_to_a_closed_port_of_this_machine_reaches_nobody() {
    let closed = Server::saying(vec![http(200, "", GIF)]).await;
    for location in [closed.url("/a.gif"), format!("https://{}/a.gif", closed.site()), format!("//{}/", closed.site())]
    {
        let open = Server::saying(vec![to(&location)]).await;
        let fetched = fetch(&[&open.site()], &open.url("/")).await;
        assert_eq!(fetched.result.unwrap_err(), Missing::Address, "{location}");
        assert_eq!(open.requests().len(), 1);
    }
    assert!(closed.requests().is_empty());
}

#[tokio::test]
async fn three_redirects_are_followed_and_a_loop_is_not() {
    let mut answers = vec![to("/2.gif"), to("3.gif"), to("/4.gif?x"), http(200, "", GIF)];
    let server = Server::saying(answers.clone()).await;
    let fetched = fetch(&[&server.site()], &server.url("/a/1.gif")).await;
    assert_eq!((&fetched.result.unwrap().bytes[..], fetched.status), (GIF, Some(200)));
    let paths: Vec<String> =
        server.requests().iter().map(|request| request.split(' ').nth(1).unwrap().to_owned()).collect();
    assert_eq!(paths, ["/a/1.gif", "/2.gif", "/3.gif", "/4.gif?x"]);

    answers.insert(0, to("/1.gif"));
    let server = Server::saying(answers).await;
    assert_eq!(crate::refused(&server).await, Some(Missing::Address));
    assert_eq!(server.requests().len(), 4, "the fourth redirect is not followed");

    let server = Server::saying(vec![to("/a.gif")]).await;
    assert_eq!(crate::refused(&server).await, Some(Missing::Address));
    assert_eq!(server.requests().len(), 4, "a loop");
}

#[tokio::test]
async fn each_kind_of_redirect_is_followed_by_a_get() {
    for status in [301, 302, 303, 307, 308] {
        let server = Server::saying(vec![http(status, "Location: /b.gif\r\n", b""), http(200, "", GIF)]).await;
        assert_eq!(crate::refused(&server).await, None, "{status}");
        assert!(server.requests()[1].starts_with("GET /b.gif "), "{status}");
    }
    for status in [300, 304, 305, 306] {
        let server = Server::saying(vec![http(status, "Location: /b.gif\r\n", b"")]).await;
        assert_eq!(crate::refused(&server).await, Some(Missing::Status), "{status}");
    }
}

#[tokio::test]
async fn the_host_of_a_result_is_the_one_that_was_asked_last() {
    let end = Server::saying(vec![http(200, "", GIF)]).await;
    let port = end.address.port();
    let start = Server::saying(vec![to(&format!("http://end.example.org:{port}/a.gif"))]).await;
    let address = end.address;
    let (names, _) = names(move |_, _| vec![address]);
    let settings = settings(&[&start.site(), &format!("end.example.org:{port}")]);
    let fetched = fetch_with(&settings, names, &start.url("/")).await;
    assert!(fetched.result.is_ok());
    assert_eq!(fetched.host.as_deref(), Some("end.example.org"));
}

#[tokio::test]
async fn twilios_password_goes_to_no_other_host_and_not_along_with_a_redirect() {
    let path = format!("/2010-04-01/Accounts/{SID}/Messages/MM1/Media/ME1");
    // Its own name, but opened at another port and by http: this is not Twilio's API.
    let end = Server::saying(vec![http(200, "", GIF)]).await;
    let (port, address) = (end.address.port(), end.address);
    let twilio = format!("http://api.twilio.com:{port}{path}");
    let start = Server::saying(vec![to(&twilio)]).await;
    let (names, _) = names(move |_, _| vec![address]);
    let settings = settings(&[&start.site(), &format!("api.twilio.com:{port}")]);
    assert!(fetch_with(&settings, names.clone(), &start.url(&path)).await.result.is_ok());
    assert!(fetch_with(&settings, names, &twilio).await.result.is_ok());
    let requests = [start.requests(), end.requests()].concat();
    assert_eq!(requests.len(), 3);
    for request in requests {
        assert!(!request.to_ascii_lowercase().contains("authorization"), "{request}");
    }
}
