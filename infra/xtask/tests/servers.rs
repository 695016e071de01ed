//! The private servers, with real ones: start, use, kill, start again, stop, leave nothing behind.

use std::{fs, path::PathBuf, time::Duration};

use xtask::{
    http, pids,
    servers::{Postgres, PostgresOptions, RabbitMq, RabbitMqOptions},
};

#[expect(clippy::unwrap_used, reason = "a test that cannot make its folder has failed")]
fn folder(name: &str) -> PathBuf {
    // Sockets have short paths, and scripts expect no spaces.
    let dir = PathBuf::from(env!("CARGO_TARGET_TMPDIR"))
        .join(format!("{name}-{}", std::process::id()))
        .join("a path that has spaces, and is longer than the address of a Unix socket may be, about a hundred bytes");
    drop(fs::remove_dir_all(&dir));
    fs::create_dir_all(&dir).unwrap();
    dir
}

#[test]
fn a_killed_postgres_starts_again_with_its_data_and_leaves_no_process() {
    let dir = folder("postgres");
    let mut postgres = Postgres::start(&dir, PostgresOptions::default()).unwrap();
    assert_eq!(postgres.psql("talkback", "show fsync").unwrap().trim(), "on");
    assert_eq!(postgres.psql("talkback", "show listen_addresses").unwrap().trim(), "127.0.0.1");
    postgres.psql("talkback", "create table kept (n int); insert into kept values (42)").unwrap();
    let (url, first) = (postgres.url(), postgres.pid().unwrap());

    let family = pids::family(first);
    assert!(family.len() > 1, "the postmaster has workers");
    postgres.kill();
    assert!(family.iter().all(|&pid| pids::started(pid).is_none()));
    assert_eq!(postgres.pid(), None);
    postgres.start_again().unwrap();
    assert_eq!(postgres.url(), url);
    assert_eq!(postgres.psql("talkback", "select n from kept").unwrap().trim(), "42");

    let second = pids::family(postgres.pid().unwrap());
    drop(postgres);
    assert!(second.iter().all(|&pid| pids::started(pid).is_none()));

    let wrong = PostgresOptions { password: Some("another".to_owned()), ..PostgresOptions::default() };
    let error = Postgres::start(&dir, wrong).err().unwrap().to_string();
    assert!(error.contains("made with another password"), "{error}");
    fs::remove_dir_all(dir).unwrap();
}

#[test]
fn a_killed_broker_starts_again_and_leaves_no_process() {
    let dir = folder("rabbitmq");
    let options = RabbitMqOptions { management: true, ..RabbitMqOptions::default() };
    let mut rabbitmq = RabbitMq::start(&dir, options).unwrap();
    let api = rabbitmq.api_url().unwrap();
    let host = api.split('@').nth(1).unwrap();
    let users = http::get(&format!("http://{host}/users"), Duration::from_secs(5)).unwrap();
    assert_eq!(users.status, 401, "the API wants credentials");
    let first = pids::family(rabbitmq.pid().unwrap());
    rabbitmq.kill();
    assert!(first.iter().all(|&pid| pids::started(pid).is_none()));

    let url = rabbitmq.url();
    rabbitmq.start_again().unwrap();
    assert_eq!(rabbitmq.url(), url);
    let second = pids::family(rabbitmq.pid().unwrap());
    rabbitmq.stop();
    assert!(second.iter().all(|&pid| pids::started(pid).is_none()));
    fs::remove_dir_all(dir).unwrap();
}
