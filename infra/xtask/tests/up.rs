//! `cargo xtask up` as a newcomer runs it, with the real programs, in a checkout that holds nothing else: what it
//! prints works, what it starts it stops, and what it cannot do it says in one line.

#[cfg(test)]
#[path = "up/checkout.rs"]
mod checkout;

use std::{fs, os::unix::fs::PermissionsExt, time::Duration};

use checkout::{Checkout, until};
use nix::sys::signal::Signal;
use serde_json::Value;
use xtask::{http, pids};

const SOON: Duration = Duration::from_secs(30);

#[test]
fn the_three_commands_that_up_prints_show_three_messages_and_ctrl_c_leaves_nothing() {
    let checkout = Checkout::new("commands");
    // Faster than the simulator thinks right as long as nobody tells it the room's pace.
    checkout.configure("# pace = \"1s\"", "pace = \"50ms\"");
    checkout.configure("# burst = 3", "burst = 10");
    let mut up = checkout.up(&[]);
    let record = up.wait_for_record();
    let mode = fs::metadata(checkout.record_file()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let text = |name: &str| record[name].as_str().unwrap().to_owned();
    assert!(text("send_url").ends_with("/send"));
    assert_eq!(http::get(&text("callback_url"), SOON).unwrap().status, 200);
    assert!(text("amqp_url").starts_with("amqp://") && text("database_url").starts_with("postgresql://"));

    let refused = checkout.up(&[]).wait_for_end();
    assert!(refused.last_line().contains("runs in this checkout already"), "{}", refused.last_line());
    assert!(!refused.success());

    let commands = up.printed_commands();
    assert_eq!(commands.len(), 3, "{commands:?}");
    for command in &commands {
        checkout.shell(command);
    }
    let lines = format!("{}_sim/lines?group=10000001", text("chat_url"));
    let shown = |part: &str| http::get(&lines, SOON).is_ok_and(|answer| answer.body.contains(part));
    for part in ["Hello from the control room", "Nina Simone", "pong"] {
        until(part, Duration::from_secs(60), || shown(part));
    }

    // Everything that can arrive, and pictures among it, which come from the simulator. Nothing is refused.
    checkout.shell("cargo xtask demo");
    for part in ["Signal lost on the main stream", "Who sang that last one?", "1 picture could not be sent", ".gif."] {
        until(part, Duration::from_secs(120), || shown(part));
    }

    let findings = http::get(&format!("{}_sim/findings", text("chat_url")), SOON).unwrap().body;
    let findings: Vec<Value> = serde_json::from_str(&findings).unwrap();
    assert!(findings.iter().all(|finding| finding["kind"] != "pace"), "{findings:?}");

    // A function that dies is there again, and works.
    let dispatcher = up.child_of("dispatcher");
    pids::signal_family(dispatcher, Signal::SIGKILL);
    until("another dispatcher", SOON, || {
        let run = up.children_named("dispatcher");
        run.len() == 2 && !run.contains(&dispatcher)
    });

    let family = up.everything();
    assert!(family.len() > 12, "two servers, ten functions, the emulator, the bridge, the simulator: {family:?}");
    up.ctrl_c();
    let ended = up.wait_for_end();
    assert!(ended.success(), "{}", ended.last_line());
    assert!(ended.took() < Duration::from_secs(15), "Ctrl-C took {:?}", ended.took());
    assert!(family.iter().all(|&pid| pids::started(pid).is_none()), "something runs on");
    assert!(!checkout.record_file().exists());
}

#[test]
fn what_a_killed_up_left_is_stopped_by_the_next_which_keeps_data_and_secrets() {
    let checkout = Checkout::new("killed");
    let mut first = checkout.up(&[]);
    let before = first.wait_for_record();
    checkout.psql(&before, "create table kept (n int); insert into kept values (42)");
    let family = first.everything();
    // What would die with its parent by the kernel's help must be found without it, too: a frozen one does not die.
    let bridge = first.child_of("bridge");
    pids::signal_family(bridge, Signal::SIGSTOP);
    first.kill();

    let mut second = checkout.up(&[]);
    let after = second.wait_for_record();
    assert!(family.iter().all(|&pid| pids::started(pid).is_none()), "something of the first runs on");
    assert_eq!(checkout.psql(&after, "select n from kept").trim(), "42");
    assert_eq!(before["send_key"], after["send_key"]);
    let token = |record: &Value| record["callback_url"].as_str().unwrap().rsplit('/').next().unwrap().to_owned();
    assert_eq!(token(&before), token(&after));

    let family = second.everything();
    pids::signal_family(second.child_of("bridge"), Signal::SIGKILL);
    let ended = second.wait_for_end();
    assert!(!ended.success());
    assert!(ended.last_line().starts_with("error: bridge ended"), "{}", ended.last_line());
    assert!(family.iter().all(|&pid| pids::started(pid).is_none()), "something runs on");
    assert!(!checkout.record_file().exists());
}

#[test]
fn a_port_in_use_is_one_clear_line() {
    let checkout = Checkout::new("port");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    fs::create_dir_all(checkout.record_file().parent().unwrap()).unwrap();
    fs::write(checkout.record_file(), Value::Null.to_string()).unwrap();
    let ended = checkout.up_on(&port, &[]).wait_for_end();
    assert!(!ended.success());
    assert_eq!(ended.lines().len(), 1, "{:?}", ended.lines());
    assert!(ended.last_line().contains(&format!("port {port} is in use")), "{}", ended.last_line());
    assert!(!checkout.record_file().exists(), "the record of an `up` that was killed is stale");
}
