//! The simulator as a process.

use std::{path::PathBuf, process::Stdio};

use serde_json::json;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader},
    process::Command,
    time::timeout,
};

use crate::station::{SOON, client};

/// A configuration file that is gone after the test.
struct File(PathBuf);

impl File {
    fn holding(name: &str, content: &str) -> Self {
        let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}.json", std::process::id()));
        std::fs::write(&path, content).unwrap();
        Self(path)
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn command(config: &File) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_groupme-sim"));
    command.env("GROUPME_SIM_CONFIG", &config.0).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    command
}

#[tokio::test]
async fn it_says_where_it_is_ready_and_ends_on_sigterm_and_sigint() {
    let bots = json!([{"bot_id": "b", "group_id": "1", "name": "Bo", "callback_url": "http://127.0.0.1:9/x"}]);
    let config = File::holding("ready", &json!({"bots": bots, "port": 0}).to_string());
    for signal in ["-TERM", "-INT"] {
        let mut child = command(&config).spawn().unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap()).lines();
        let line = timeout(SOON, out.next_line()).await.unwrap().unwrap().unwrap();
        let url = line.strip_prefix("ready ").unwrap();
        let body = json!({"bot_id": "b", "text": "hello"});
        let posted = client().post(format!("{url}v3/bots/post")).json(&body).send().await.unwrap();
        assert_eq!(posted.status(), 202);
        let killed = Command::new("kill").arg(signal).arg(child.id().unwrap().to_string()).status().await.unwrap();
        assert!(killed.success());
        assert!(timeout(SOON, child.wait()).await.unwrap().unwrap().success(), "{signal}");
    }
}

#[tokio::test]
async fn a_fault_in_its_configuration_is_told_without_the_secret() {
    for (name, content) in [
        ("unknown", r#"{"bots": [], "acces_token": "the-secret"}"#),
        ("type", r#"{"bots": "the-secret"}"#),
        (
            "https",
            r#"{"bots": [{"bot_id": "the-secret", "group_id": "1", "name": "x", "callback_url": "https://the-secret"}]}"#,
        ),
    ] {
        let mut child = command(&File::holding(name, content)).spawn().unwrap();
        assert!(!timeout(SOON, child.wait()).await.unwrap().unwrap().success(), "{name}");
        let mut told = String::new();
        child.stderr.take().unwrap().read_to_string(&mut told).await.unwrap();
        assert!(!told.is_empty() && !told.contains("the-secret"), "{name}: {told}");
    }
}
