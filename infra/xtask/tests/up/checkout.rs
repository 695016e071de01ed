//! A checkout that holds only what `up` reads: the example configuration, the routes of the emulator, and a `cargo`
//! that "builds" by naming the programs that were built before the tests.

use std::{
    fs,
    io::{BufRead, BufReader},
    os::unix::{fs::PermissionsExt, process::CommandExt},
    path::{Path, PathBuf},
    process::{self, Command, Stdio},
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, killpg},
    unistd::Pid,
};
use serde_json::Value;
use xtask::{pids, ports};

const WORKSPACE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

/// Waits until something is so.
pub(crate) fn until(what: &str, patience: Duration, mut so: impl FnMut() -> bool) {
    let deadline = Instant::now() + patience;
    while !so() {
        assert!(Instant::now() < deadline, "waited {patience:?} in vain for: {what}");
        thread::yield_now();
        thread::park_timeout(Duration::from_millis(20));
    }
}

fn variable(name: &str) -> PathBuf {
    PathBuf::from(std::env::var_os(name).unwrap_or_else(|| panic!("{name} is not set: run `cargo xtask test`")))
}

pub(crate) struct Checkout {
    root: PathBuf,
}

impl Checkout {
    pub(crate) fn new(name: &str) -> Checkout {
        let root = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("up-{name}-{}", process::id()));
        drop(fs::remove_dir_all(&root));
        fs::create_dir_all(root.join("infra/xtask")).unwrap();
        let workspace = Path::new(WORKSPACE);
        fs::copy(workspace.join("infra/talkback.toml"), root.join("infra/talkback.toml")).unwrap();
        fs::create_dir(root.join("events")).unwrap();
        for event in fs::read_dir(workspace.join("events")).unwrap().flatten() {
            fs::copy(event.path(), root.join("events").join(event.file_name())).unwrap();
        }
        // The routes, as they stand in the workspace.
        let manifest = fs::read_to_string(workspace.join("Cargo.toml")).unwrap();
        let routes = &manifest[manifest.find("[workspace.metadata.lambda.watch.router]").unwrap()..];
        fs::write(
            root.join("Cargo.toml"),
            format!("[workspace]\nmembers = [\"functions/*\"]\nresolver = \"3\"\n\n{routes}"),
        )
        .unwrap();
        // cargo-lambda routes only to functions that are packages here; it starts none of them.
        for function in fs::read_dir(workspace.join("functions")).unwrap().flatten() {
            let name = function.file_name().into_string().unwrap();
            let package = root.join("functions").join(&name);
            fs::create_dir_all(package.join("src")).unwrap();
            fs::write(package.join("Cargo.toml"), format!("[package]\nname = \"{name}\"\n")).unwrap();
            fs::write(package.join("src/main.rs"), "fn main() {}\n").unwrap();
        }
        let checkout = Checkout { root };
        checkout.make_cargo();
        checkout
    }

    fn make_cargo(&self) {
        let bin = variable("TALKBACK_TEST_BIN");
        let built: String = fs::read_dir(&bin)
            .unwrap()
            .flatten()
            .filter(|entry| !entry.file_name().to_string_lossy().contains('.') && entry.path().is_file())
            .map(|entry| {
                let name = entry.file_name().to_string_lossy().into_owned();
                serde_json::json!({"executable": entry.path(), "target": {"name": name}}).to_string() + "\n"
            })
            .collect();
        fs::write(self.root.join("built"), built).unwrap();
        let script = format!(
            "#!/bin/sh\ncase $1 in\nbuild) cat '{built}' ;;\nxtask) shift; exec '{xtask}' \"$@\" ;;\n*) exec '{cargo}' \"$@\" ;;\nesac\n",
            built = self.root.join("built").display(),
            xtask = env!("CARGO_BIN_EXE_xtask"),
            cargo = std::env::var("CARGO").unwrap(),
        );
        fs::create_dir(self.root.join("bin")).unwrap();
        let cargo = self.root.join("bin/cargo");
        fs::write(&cargo, script).unwrap();
        fs::set_permissions(cargo, fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// Says something else in the configuration.
    pub(crate) fn configure(&self, said: &str, instead: &str) {
        let file = self.root.join("infra/talkback.toml");
        let text = fs::read_to_string(&file).unwrap();
        assert!(text.contains(said), "the example does not say {said}");
        fs::write(file, text.replace(said, instead)).unwrap();
    }

    pub(crate) fn record_file(&self) -> PathBuf {
        self.root.join("target/talkback/up.json")
    }

    /// A command in this checkout, without what the caller's environment says about another GroupMe.
    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        let emulator = variable("TALKBACK_TEST_CARGO_LAMBDA");
        let mut path = vec![self.root.join("bin"), emulator.parent().unwrap().to_path_buf()];
        path.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap()));
        for (name, _) in std::env::vars_os() {
            let text = name.to_string_lossy();
            if ["TALKBACK_", "GROUPME_", "DATABASE_", "AMQP_", "CARGO_"].iter().any(|prefix| text.starts_with(prefix)) {
                command.env_remove(&name);
            }
        }
        command
            .current_dir(&self.root)
            .env("PATH", std::env::join_paths(path).unwrap())
            .env("CARGO", self.root.join("bin/cargo"))
            .env("CARGO_MANIFEST_DIR", self.root.join("infra/xtask"))
            .stdin(Stdio::null());
        command
    }

    pub(crate) fn up(&self, options: &[&str]) -> Up {
        self.up_on(&ports::free().unwrap().to_string(), options)
    }

    pub(crate) fn up_on(&self, port: &str, options: &[&str]) -> Up {
        let mut command = self.command(env!("CARGO_BIN_EXE_xtask"));
        command.args(["up", "--port", port]).args(options).stdout(Stdio::piped()).process_group(0);
        let mut child = command.spawn().unwrap();
        let lines = Arc::new(Mutex::new(Vec::new()));
        let (out, kept) = (child.stdout.take().unwrap(), lines.clone());
        let reader = thread::spawn(move || {
            for line in BufReader::new(out).lines() {
                kept.lock().unwrap().push(line.unwrap());
            }
        });
        Up { child, lines, reader: Some(reader), record: self.record_file(), asked: Instant::now() }
    }

    /// Runs a line as a person would, in a shell.
    pub(crate) fn shell(&self, line: &str) {
        let output = self.command("sh").args(["-c", line]).output().unwrap();
        assert!(output.status.success(), "{line}\n{}", String::from_utf8_lossy(&output.stderr));
    }

    pub(crate) fn psql(&self, record: &Value, statement: &str) -> String {
        let psql = xtask::servers::postgres::find().unwrap().join("psql");
        let url = record["database_url"].as_str().unwrap();
        let output = self.command(psql.to_str().unwrap()).args(["-XAtqc", statement, url]).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }
}

impl Drop for Checkout {
    fn drop(&mut self) {
        // What failed is left to be looked at.
        if !thread::panicking() {
            drop(fs::remove_dir_all(&self.root));
        }
    }
}

/// An `up` that runs.
pub(crate) struct Up {
    child: process::Child,
    lines: Arc<Mutex<Vec<String>>>,
    reader: Option<thread::JoinHandle<()>>,
    record: PathBuf,
    asked: Instant,
}

impl Up {
    fn pid(&self) -> i32 {
        i32::try_from(self.child.id()).unwrap()
    }

    fn said(&self) -> String {
        self.lines.lock().unwrap().join("\n")
    }

    /// Waits until everything answers, which is when the record is there. An older one is not taken for it: `up`
    /// removes that before anything else, and this waits until its own has said so.
    pub(crate) fn wait_for_record(&mut self) -> Value {
        let deadline = Instant::now() + Duration::from_secs(180);
        while !self.said().contains("Three commands to try") {
            assert!(self.child.try_wait().unwrap().is_none(), "up ended:\n{}", self.said());
            assert!(Instant::now() < deadline, "up is not up:\n{}", self.said());
            thread::park_timeout(Duration::from_millis(50));
        }
        serde_json::from_str(&fs::read_to_string(&self.record).unwrap()).unwrap()
    }

    /// The commands that it printed to try.
    pub(crate) fn printed_commands(&self) -> Vec<String> {
        until("what is printed last", Duration::from_secs(10), || self.said().contains("_sim/say"));
        let said = self.said();
        said.lines()
            .filter(|line| line.starts_with("  curl ") || line.starts_with("  cargo "))
            .map(str::to_owned)
            .collect()
    }

    /// All processes that it has started, and theirs, without itself.
    pub(crate) fn everything(&self) -> Vec<i32> {
        pids::family(self.pid()).into_iter().filter(|pid| *pid != self.pid()).collect()
    }

    pub(crate) fn children_named(&self, name: &str) -> Vec<i32> {
        let is = |pid: &i32| {
            let program = fs::read_link(format!("/proc/{pid}/exe")).unwrap_or_default();
            program.file_name().is_some_and(|file| file == name) && pids::started(*pid).is_some()
        };
        self.everything().into_iter().filter(is).collect()
    }

    pub(crate) fn child_of(&self, name: &str) -> i32 {
        *self.children_named(name).first().unwrap_or_else(|| panic!("no {name} runs"))
    }

    /// As the terminal does it: to the whole process group.
    pub(crate) fn ctrl_c(&mut self) {
        self.asked = Instant::now();
        killpg(Pid::from_raw(self.pid()), Signal::SIGINT).unwrap();
    }

    /// Kills it alone, so that it can stop nothing.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub(crate) fn wait_for_end(mut self) -> Ended {
        until("the end of up", Duration::from_secs(60), || self.child.try_wait().unwrap().is_some());
        let took = self.asked.elapsed();
        let success = self.child.wait().unwrap().success();
        self.reader.take().unwrap().join().unwrap();
        let lines = self.lines.lock().unwrap().iter().filter(|line| !line.is_empty()).cloned().collect();
        Ended { took, success, lines }
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        // A test that failed half-way leaves nothing running.
        for pid in self.everything() {
            let _ = nix::sys::signal::kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// How an `up` ended.
pub(crate) struct Ended {
    took: Duration,
    success: bool,
    lines: Vec<String>,
}

impl Ended {
    pub(crate) fn success(&self) -> bool {
        self.success
    }

    /// From the wish that it ends until the end.
    pub(crate) fn took(&self) -> Duration {
        self.took
    }

    pub(crate) fn lines(&self) -> &[String] {
        &self.lines
    }

    pub(crate) fn last_line(&self) -> &str {
        self.lines.last().map_or("", String::as_str)
    }
}
