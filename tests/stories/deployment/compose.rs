//! `infra/compose.yaml`, and the settings that go with it.
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;
use std::process::{Command, Output};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use talkback::config::{SETTINGS, Settings};
use xtask::images::VERSION;

use super::{example, infra, text};
use crate::process::emulator::folder;
use crate::station::sha256;

/// What only the servers beside Talkback are told.
const PASSWORDS: [&str; 2] = ["POSTGRES_PASSWORD", "RABBITMQ_PASSWORD"];

/// What a newcomer fills in.
fn filled() -> BTreeMap<&'static str, String> {
    [
        ("TALKBACK_DATA_KEYS", format!("k1:{}", STANDARD.encode([7; 32]))),
        ("TALKBACK_LOOKUP_KEY", STANDARD.encode([9; 32])),
        ("TALKBACK_SEND_KEYS", format!("desk:{}:standard|standard.*:urgent", sha256("key-of-the-desk"))),
        ("GROUPME_CALLBACK_TOKEN", "0123456789abcdef0123456789abcdef".to_owned()),
        ("GROUPME_BOT_ID", "b07e57b07e57b07e57b07e57aa".to_owned()),
        ("GROUPME_GROUP_ID", "90210".to_owned()),
        ("POSTGRES_PASSWORD", "password0of0postgres".to_owned()),
        ("RABBITMQ_PASSWORD", "password0of0rabbitmq".to_owned()),
    ]
    .into()
}

/// Lays the files as infra/README.md says, with these settings in the copy of the example.
fn lay(folder: &Path, settings: &BTreeMap<&'static str, String>) {
    std::fs::copy(infra("compose.yaml"), folder.join("compose.yaml")).unwrap();
    std::fs::copy(infra("talkback.toml"), folder.join("host.toml")).unwrap();
    let example = text("host.env.example");
    let lines = example.lines().map(|line| {
        let value = line.strip_suffix('=').and_then(|name| settings.get(name));
        value.map_or_else(|| line.to_owned(), |value| format!("{line}{value}")) + "\n"
    });
    std::fs::write(folder.join("host.env"), lines.collect::<String>()).unwrap();
}

fn config(folder: &Path) -> Output {
    let mut command = Command::new(xtask::programs::find("docker-compose").unwrap());
    command.current_dir(folder).args(["--env-file", "host.env", "-f", "compose.yaml", "config"]);
    command.env_remove("COMPOSE_FILE").output().unwrap()
}

#[test]
fn the_example_of_settings_has_every_one_of_them_once() {
    let given: Vec<String> = example().into_iter().map(|(name, _)| name).collect();
    let once: BTreeSet<&str> = given.iter().map(String::as_str).collect();
    assert_eq!(once.len(), given.len(), "twice: {given:?}");
    let known: BTreeSet<&str> = SETTINGS.iter().map(|(name, ..)| *name).chain(PASSWORDS).collect();
    assert_eq!(once, known);
    let secret = |name: &str| ["KEY", "TOKEN", "PASSWORD", "URL"].iter().any(|word| name.contains(word));
    let filled: Vec<(String, String)> =
        example().into_iter().filter(|(name, value)| secret(name) && !value.is_empty()).collect();
    assert_eq!(filled, [], "an example of a secret is used as one");
}

#[test]
fn compose_reads_its_file_and_the_host_in_it_has_all_it_needs_and_no_more() {
    let folder = folder("compose");
    lay(&folder, &filled());
    let read = config(&folder);
    let said = String::from_utf8_lossy(&read.stderr).into_owned();
    assert!(read.status.success() && said.is_empty(), "{said}");
    let document: Value = yaml_serde::from_slice(&read.stdout).unwrap();
    let services = document["services"].as_object().unwrap();
    let names: Vec<&str> = services.keys().map(String::as_str).collect();
    assert_eq!(names, ["host", "migrate", "postgres", "rabbitmq"]);

    for (name, service) in services {
        assert_eq!(service["cap_drop"], serde_json::json!(["ALL"]), "{name}");
        assert_eq!(service["security_opt"], serde_json::json!(["no-new-privileges:true"]), "{name}");
        assert_eq!(service["restart"], if name == "migrate" { "no" } else { "unless-stopped" }, "{name}");
        assert!(service.get("privileged").is_none() && service.get("network_mode").is_none(), "{name}");
        for port in service["ports"].as_array().into_iter().flatten() {
            let port = port.as_str().unwrap();
            assert!(port.starts_with("127.0.0.1:"), "{name} listens for everybody: {port}");
        }
    }
    for name in ["host", "migrate"] {
        let service = &services[name];
        assert_eq!(service["image"], format!("localhost/talkback-host:{VERSION}"), "as `cargo xtask images` names it");
        assert_eq!(service["read_only"], true, "{name}");
        assert!(service.get("cap_add").is_none(), "{name}");
        let volumes = service["volumes"].as_array().unwrap();
        assert!(volumes.iter().all(|volume| volume["read_only"] == true), "{name} may write: {volumes:?}");
        for server in ["postgres", "rabbitmq"] {
            assert_eq!(service["depends_on"][server]["condition"], "service_healthy", "{name} on {server}");
        }
    }
    assert_eq!(services["migrate"]["command"], serde_json::json!(["migrate"]));
    assert_eq!(services["host"]["depends_on"]["migrate"]["condition"], "service_completed_successfully");
    let grace: u32 = services["host"]["stop_grace_period"].as_str().unwrap().trim_end_matches('s').parse().unwrap();
    assert!(grace > 10, "killed after {grace} s, while it promises to end within 10");
    for server in ["postgres", "rabbitmq"] {
        assert!(services[server]["healthcheck"]["test"].is_array(), "{server}");
        assert!(services[server]["volumes"][0].as_str().unwrap().starts_with(&format!("{server}:")), "{server}");
    }

    // What the host is told, as it would read it; the file is the one that is mounted there.
    let environment = services["host"]["environment"].as_object().unwrap();
    let mounted = services["host"]["volumes"][0]["target"].as_str().unwrap();
    assert_eq!(environment["TALKBACK_CONFIG"], mounted);
    let mut vars: HashMap<String, String> = environment
        .iter()
        .map(|(name, value)| (name.clone(), value.as_str().map_or_else(|| value.to_string(), str::to_owned)))
        .collect();
    for password in PASSWORDS {
        assert_eq!(vars.remove(password).as_deref(), Some(""), "the host has no use for {password}");
    }
    vars.insert("TALKBACK_CONFIG".to_owned(), folder.join("host.toml").display().to_string());
    let settings = Settings::from_vars(&vars).unwrap();
    assert!(settings.amqp_url.is_some() && !settings.send_keys.is_empty());
    assert_eq!(vars["DATABASE_URL"], "postgres://talkback:password0of0postgres@postgres/talkback");
    assert_eq!(vars["AMQP_URL"], "amqp://talkback:password0of0rabbitmq@rabbitmq/%2f");
    assert_eq!(environment["TALKBACK_LISTEN"], "0.0.0.0:8080");
    assert_eq!(services["host"]["ports"], serde_json::json!(["127.0.0.1:8080:8080/tcp"]));
    assert_eq!(services["postgres"]["environment"]["POSTGRES_PASSWORD"], "password0of0postgres");
    assert_eq!(services["rabbitmq"]["environment"]["RABBITMQ_DEFAULT_PASS"], "password0of0rabbitmq");
}

#[test]
fn compose_names_a_password_that_is_not_set() {
    let folder = folder("compose-empty");
    for password in PASSWORDS {
        let mut settings = filled();
        settings.remove(password);
        lay(&folder, &settings);
        let read = config(&folder);
        let said = String::from_utf8_lossy(&read.stderr).into_owned();
        assert!(!read.status.success() && said.contains("set it in host.env"), "{password}: {said}");
    }
}
