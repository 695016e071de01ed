//! Proxies of the environment: one would connect for us to what we never judged.
use std::io::ErrorKind;
use std::net::TcpListener;
use std::process::Command;

#[test]
fn proxies_of_the_environment_are_not_asked() {
    let proxy = TcpListener::bind("127.0.0.1:0").unwrap();
    proxy.set_nonblocking(true).unwrap();
    let url = format!("http://{}", proxy.local_addr().unwrap());
    // Another process, because the environment of this one belongs to all its tests.
    let mut fetching = Command::new(std::env::current_exe().unwrap());
    fetching.args(["--exact", "bodies::a_picture_is_fetched_and_told_by_its_own_bytes"]);
    for name in ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"] {
        fetching.env(name, &url);
    }
    let output = fetching.env("NO_PROXY", "").env("no_proxy", "").output().unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && told.contains("1 passed"), "{told}");
    assert_eq!(proxy.accept().unwrap_err().kind(), ErrorKind::WouldBlock, "the proxy was connected to");
}
