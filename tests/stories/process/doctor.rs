//! `cargo xtask doctor`: what it says of a relay that is well, and of each thing that is not.
use std::collections::BTreeMap;
use std::path::PathBuf;

use super::emulator::program;
use super::functions::FAKETIME;
use super::host::Host;
use super::works::{bot, eventually, group};
use crate::station::{KEY, MEMBER, TOKEN, connect, required};
use crate::vhost::Vhost;

/// What it says, and whether all is well.
async fn doctor(vars: &BTreeMap<String, String>, words: &[&str]) -> (bool, String) {
    let mut command = program(&PathBuf::from(required("TALKBACK_TEST_BIN")).join("operator"));
    command.arg("doctor").args(words).env_clear().envs(vars);
    let done = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let said = String::from_utf8_lossy(&done.stdout).into_owned() + &String::from_utf8_lossy(&done.stderr);
    for secret in [MEMBER, TOKEN, KEY, &bot(0)] {
        assert!(!said.contains(secret), "a secret is in it: {said}");
    }
    (done.status.success(), said)
}

/// Asserts that it names this as ill, and only this, and says what to do.
async fn is_ill(vars: &BTreeMap<String, String>, words: &[&str], what: &str, wrong: &str) {
    let (well, said) = doctor(vars, words).await;
    let ill: Vec<&str> = said.lines().filter(|line| line.trim_start().starts_with("BAD")).collect();
    assert!(!well && ill.len() == 1 && ill[0].contains(what) && ill[0].contains(wrong), "{what}: {wrong}\n{said}");
    assert!(said.contains("-> "), "{said}");
}

fn with(vars: &BTreeMap<String, String>, name: &str, value: &str) -> BTreeMap<String, String> {
    let mut vars = vars.clone();
    vars.insert(name.to_owned(), value.to_owned());
    vars
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_doctor_finds_each_thing_that_is_not_well_and_nothing_where_all_is() {
    let host = Host::open("doctor", "5ms").await;
    let vars = host.vars.clone();
    host.sim.say(&group(0), "4711", "Grace", "Good morning").await;
    let heard = async || doctor(&vars, &[]).await.0.then_some(());
    eventually("a relay that is well", heard).await;
    let (_, said) = doctor(&vars, &[]).await;
    for line in
        ["all is well", "ok   database", "ok   broker", "ok   clock", "ok   bot", "ok   callbacks", "ok   dispatcher"]
    {
        assert!(said.contains(line), "{line}: {said}");
    }

    is_ill(&with(&vars, "DATABASE_URL", ""), &[], "settings", "DATABASE_URL: missing").await;
    is_ill(&with(&vars, "GROUPME_ACCESS_TOKEN", "another-members"), &[], "groupme", "401").await;
    is_ill(&with(&vars, "AMQP_URL", "amqp://guest:guest@127.0.0.1:1/%2f"), &[], "broker", "").await;
    is_ill(&with(&vars, "DATABASE_URL", "postgres://x:x@127.0.0.1:1/x"), &[], "database", "").await;
    is_ill(&with(&vars, "GROUPME_CALLBACK_TOKEN", "a-new-token-of-the-callback"), &[], "bot", "callback URL").await;
    let config = vars["TALKBACK_CONFIG"].clone();
    is_ill(&with(&vars, "TALKBACK_CONFIG", &config.replace(&bot(0), &bot(7))), &[], "bot", "no bot with this bot_id")
        .await;
    is_ill(&with(&vars, "TALKBACK_CONFIG", &config.replace(&group(0), &group(7))), &[], "bot", "another group").await;

    // A broker without topology, and a database that is empty or newer.
    let empty = Vhost::new().await;
    is_ill(&with(&vars, "AMQP_URL", &empty.url()), &[], "broker", "topology").await;
    empty.gone().await;
    let db = connect(&host.database_url).await;
    let last = "(select max(version) from refinery_schema_history)";
    let moved = |by: &str| format!("update refinery_schema_history set version = version {by} where version = {last}");
    db.batch_execute(&moved("+ 100")).await.unwrap();
    is_ill(&vars, &[], "database", "newer").await;
    db.batch_execute(&format!("delete from refinery_schema_history where version = {last}")).await.unwrap();
    is_ill(&vars, &[], "database", "this version has").await;
    db.batch_execute("insert into refinery_schema_history select max(version) + 1, 'again', now()::text, '0' from refinery_schema_history").await.unwrap();

    // A clock that is wrong, as seen from the database and from GroupMe.
    let mut late = with(&vars, "LD_PRELOAD", FAKETIME);
    late.extend(
        [("FAKETIME", "-600"), ("FAKETIME_DONT_FAKE_MONOTONIC", "1")].map(|(k, v)| (k.to_owned(), v.to_owned())),
    );
    let (well, said) = doctor(&late, &[]).await;
    assert!(!well && said.matches("BAD  clock").count() == 2 && said.contains("600 s behind"), "{said}");

    db.batch_execute("update rooms set state = 'suspended', state_since = now() - interval '3 hours'").await.unwrap();
    is_ill(&vars, &[], "room", "has not known its bot for 3 h").await;
    db.batch_execute("update rooms set state = 'open'").await.unwrap();
    host.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_doctor_looks_at_what_is_deployed_from_outside() {
    let host = Host::open("doctor-outside", "5ms").await;
    let (url, none) = (host.url.clone(), BTreeMap::new());
    host.sim.say(&group(0), "4711", "Grace", "Good morning").await;
    let key = BTreeMap::from([("TALKBACK_KEY".to_owned(), KEY.to_owned())]);
    let all = async || {
        let (well, said) = doctor(&key, &["--url", &url]).await;
        (well && said.contains("ok   dispatcher")).then_some(said)
    };
    let said = eventually("a host that is well", all).await;
    for line in
        ["ok   health", "ok   database", "ok   broker", "ok   room", "ok   callback ", "ok   callbacks", "?    groupme"]
    {
        assert!(said.contains(line), "{line}: {said}");
    }
    let (well, said) = doctor(&none, &["--url", &url]).await;
    assert!(well && said.contains("no key was given"), "{said}");
    is_ill(&with(&none, "TALKBACK_KEY", "nobodys"), &["--url", &url], "inside", "not known").await;
    let (_, said) = doctor(&key, &["--url", "http://127.example.invalid"]).await;
    assert!(said.contains("BAD  tls") && said.contains("the key was not sent"), "{said}");
    is_ill(&none, &["--url", "http://127.0.0.1:1"], "address", "cannot be reached").await;
    let (well, said) = doctor(&none, &["--url", &host.sim.api_url()]).await;
    assert!(!well && said.contains("this is no answer of Talkback's"), "{said}");
    // With the settings, the bot must call back to this address.
    let settings = with(&host.vars, "TALKBACK_KEY", KEY);
    let (well, said) = doctor(&settings, &["--url", &url]).await;
    assert!(well && said.contains("ok   bot"), "{said}");
    host.sim.set_callback_url(&bot(0), format!("http://127.0.0.1:9/groupme/callback/{TOKEN}"));
    is_ill(&settings, &["--url", &url], "bot", "not to the address looked at").await;
    host.end().await;
}
