//! What `up` runs, in the order in which it is started; it is stopped the other way round.

use std::{
    collections::BTreeMap,
    fs,
    net::{Ipv4Addr, TcpStream},
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::mpsc::{self, Receiver},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use nix::sys::signal::Signal;
use serde_json::{Value, json};

use super::{
    functions::Functions,
    lines,
    options::Options,
    pace,
    record::Addresses,
    settings::{Settings, Simulated, given},
};
use crate::{
    accounts, cargo, checkout, children,
    children::Child,
    http, interrupt,
    pids::Ledger,
    ports, programs,
    progress::step,
    secrets::{self, Secrets},
    servers::{Postgres, PostgresOptions, RabbitMq, RabbitMqOptions},
};

/// How often it is looked whether something has died.
const LOOK: Duration = Duration::from_millis(50);

/// The one queue that the consumer is fed from.
const QUEUE: &str = "talkback";

/// Everything that runs.
pub(super) struct Station {
    options: Options,
    ledger: Ledger,
    postgres: Option<Postgres>,
    rabbitmq: Option<RabbitMq>,
    simulator: Option<Child>,
    emulator: Option<Child>,
    functions: Option<Functions>,
    bridge: Option<Child>,
}

impl Station {
    pub(super) fn new(options: Options, ledger: Ledger) -> Station {
        Station {
            options,
            ledger,
            postgres: None,
            rabbitmq: None,
            simulator: None,
            emulator: None,
            functions: None,
            bridge: None,
        }
    }

    /// Starts everything and waits until everything answers.
    ///
    /// # Errors
    /// If something does not; [`stop`](Self::stop) then stops what was started.
    pub(super) fn start(&mut self, cargo_lambda: &Path) -> Result<Addresses> {
        let mut secrets = Secrets::open(checkout::station().join("secrets.toml"))?;
        let mut settings = Settings::make(&mut secrets)?;
        let built = step("build the functions, the bridge and the simulator", || self.build())?;
        interrupt::check()?;
        self.start_servers(&mut secrets)?;
        let postgres = self.postgres.as_ref().context("no Postgres")?;
        let rabbitmq = self.rabbitmq.as_ref().context("no RabbitMQ")?;
        let (database_url, amqp_url) = (postgres.url(), rabbitmq.url());
        settings.set("DATABASE_URL", &database_url);
        settings.set("AMQP_URL", &amqp_url);

        let functions_url = format!("http://127.0.0.1:{}", self.options.port);
        let callback_url = format!("{functions_url}/groupme/callback/{}", settings.callback_token);
        let chat_url = match settings.simulated.take() {
            Some(simulated) => {
                let page =
                    step("start the simulator of GroupMe", || self.start_simulator(&built, &simulated, &callback_url))?;
                settings.set("GROUPME_API_URL", format!("{page}v3"));
                settings.set("GROUPME_IMAGE_URL", page.trim_end_matches('/'));
                settings.allow_pictures_of(&page)?;
                tell_pace(&page, &simulated.bot_id, &settings.environment)?;
                Some(page)
            }
            None if given("GROUPME_API_URL").is_none() => Some("https://web.groupme.com/".to_owned()),
            None => None,
        };
        let group_id = settings.environment.get("GROUPME_GROUP_ID").cloned().unwrap_or_default();
        let addresses = Addresses {
            send_url: format!("{functions_url}/send"),
            send_key: settings.send_key,
            callback_url,
            chat_url,
            group_id,
            amqp_url,
            database_url,
        };
        step("start cargo-lambda and the functions", || {
            self.start_functions(cargo_lambda, &built, settings.environment)
        })?;
        step("migrate the database and declare the topology", || self.migrate(&functions_url))?;
        step("start the bridge", || self.start_bridge(&built, &addresses.amqp_url, &functions_url))?;
        step("wait until every address answers", || {
            let health = format!("{functions_url}/health");
            for url in [Some(&health), Some(&addresses.callback_url), addresses.chat_url.as_ref()].into_iter().flatten()
            {
                if url.starts_with("http://127.0.0.1:") {
                    let patience = self.patience();
                    self.wait_for("an address", patience, || answers(url))?;
                }
            }
            Ok::<_, anyhow::Error>(())
        })?;
        Ok(addresses)
    }

    /// How long a function may take until it answers for the first time: `--watch` compiles it only then.
    fn patience(&self) -> Duration {
        Duration::from_secs(if self.options.watch { 900 } else { 60 })
    }

    fn build(&self) -> Result<BTreeMap<String, PathBuf>> {
        let mut arguments = vec!["--package", "bridge", "--package", "groupme-sim"];
        if !self.options.watch {
            arguments.extend(super::functions::FUNCTIONS.iter().flat_map(|(name, _)| ["--package", name]));
        }
        if self.options.release {
            arguments.push("--release");
        }
        cargo::build(&arguments)
    }

    /// Starts both servers at once: each mostly waits.
    fn start_servers(&mut self, secrets: &mut Secrets) -> Result<()> {
        let dir = checkout::station();
        for (name, password) in [("postgres", "postgres_password"), ("rabbitmq", "rabbitmq_password")] {
            if dir.join(name).exists() && !secrets.has(password) {
                bail!("secrets.toml is gone, and what is stored was sealed with it: start with --fresh");
            }
        }
        let postgres = PostgresOptions {
            password: Some(secrets.get_or_make("postgres_password", secrets::password)?),
            log: Some(lines::file("postgres")?),
            ..PostgresOptions::default()
        };
        let rabbitmq = RabbitMqOptions {
            password: Some(secrets.get_or_make("rabbitmq_password", secrets::password)?),
            log: Some(lines::file("rabbitmq")?),
            ..RabbitMqOptions::default()
        };
        let (postgres, rabbitmq) = thread::scope(|scope| {
            let postgres = scope.spawn(|| step("start Postgres", || Postgres::start(&dir.join("postgres"), postgres)));
            let rabbitmq = step("start RabbitMQ", || RabbitMq::start(&dir.join("rabbitmq"), rabbitmq));
            (postgres.join().unwrap_or_else(|_| Err(anyhow::anyhow!("the thread ended"))), rabbitmq)
        });
        // Both are kept before either's failure is told: what runs must be stopped.
        let mut failures = Vec::new();
        postgres.map(|server| self.postgres = Some(server)).unwrap_or_else(|error| failures.push(error));
        rabbitmq.map(|server| self.rabbitmq = Some(server)).unwrap_or_else(|error| failures.push(error));
        failures.into_iter().next().map_or_else(interrupt::check, Err)
    }

    fn start_simulator(
        &mut self,
        built: &BTreeMap<String, PathBuf>,
        simulated: &Simulated,
        callback_url: &str,
    ) -> Result<String> {
        // The port beside the functions', so that the page stays where it was; another if that is taken.
        let beside = self.options.port.wrapping_add(1);
        let port = if beside > 1 && ports::is_free(beside) { beside } else { ports::free()? };
        let config = checkout::station().join("groupme-sim.json");
        let bot = json!({
            "bot_id": simulated.bot_id, "group_id": simulated.group_id, "name": "Talkback", "callback_url": callback_url,
        });
        let text = json!({"bots": [bot], "access_token": simulated.access_token, "port": port}).to_string();
        secrets::write_private(&config, &text)?;
        let mut command = program(built, "groupme-sim")?;
        command.env("GROUPME_SIM_CONFIG", &config);
        let (simulator, output) = self.start_program("groupme-sim", command, false)?;
        self.simulator = Some(simulator);
        let line = self.wait_for_line("groupme-sim", &output, |line| line.strip_prefix("ready ").map(str::to_owned))?;
        Ok(format!("{}/", line.trim().trim_end_matches('/')))
    }

    fn start_functions(
        &mut self,
        cargo_lambda: &Path,
        built: &BTreeMap<String, PathBuf>,
        environment: BTreeMap<String, String>,
    ) -> Result<()> {
        let port = self.options.port;
        let mut command = accounts::command(cargo_lambda, None, &checkout::root(), "TERM")?;
        // No --timeout: it would also end functions that have waited so long for a call, see `runtime_api`.
        command.args(["lambda", "watch", "-A", "127.0.0.1", "-P", &port.to_string()]);
        command.arg(if self.options.watch { "--concurrency=4" } else { "--only-lambda-apis" });
        if self.options.watch {
            command.envs(&environment);
            if self.options.release {
                command.arg("--release");
            }
        }
        let (emulator, _) = self.start_program("cargo-lambda", command, self.options.watch)?;
        self.emulator = Some(emulator);
        self.wait_for("cargo-lambda", Duration::from_secs(60), || {
            Ok(TcpStream::connect((Ipv4Addr::LOCALHOST, port)).map(drop)?)
        })?;
        if !self.options.watch {
            self.functions = Some(Functions::start(built, environment, port, &self.ledger)?);
        }
        Ok(())
    }

    /// Invokes the function once. What it answers is final; meanwhile everything else is looked after.
    fn migrate(&mut self, functions_url: &str) -> Result<()> {
        let (patience, url) = (self.patience(), functions_url.to_owned());
        let (answer, answered) = mpsc::channel();
        thread::spawn(move || answer.send(invoke_migrate(&url, patience)));
        self.wait_for("migrate", patience, || Ok(answered.try_recv()?))?
    }

    fn start_bridge(&mut self, built: &BTreeMap<String, PathBuf>, amqp_url: &str, functions_url: &str) -> Result<()> {
        let mut command = program(built, "bridge")?;
        command
            .args(["--queue", QUEUE, "--invoke", functions_url])
            .args(["--function", "rabbitmq-consumer", "--timeout", "30s", "--tick", "dispatcher=60s"])
            .env("AMQP_URL", amqp_url);
        let link = super::bridge_file();
        drop(fs::remove_file(&link));
        symlink(built.get("bridge").context("the build made no program `bridge`")?, &link)
            .with_context(|| format!("cannot make {}", link.display()))?;
        let (bridge, output) = self.start_program("bridge", command, true)?;
        self.bridge = Some(bridge);
        self.wait_for_line("bridge", &output, |line| (line.trim() == "ready").then_some(()))
    }

    fn start_program(&self, name: &str, mut command: Command, shown: bool) -> Result<(Child, Receiver<String>)> {
        let log = lines::file(name)?;
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = Child::start(name, command, Signal::SIGTERM, &self.ledger)?;
        let (sender, output) = mpsc::channel();
        lines::follow(&mut child, &log, shown, Some(sender))?;
        Ok((child, output))
    }

    /// Waits for a line on a program's standard output.
    fn wait_for_line<T>(
        &mut self,
        name: &str,
        output: &Receiver<String>,
        wanted: impl Fn(&str) -> Option<T>,
    ) -> Result<T> {
        self.wait_for(name, Duration::from_secs(30), || {
            output.try_iter().find_map(|line| wanted(&line)).context("it did not say that it is ready")
        })
    }

    /// Waits until something works, while looking after what runs.
    fn wait_for<T>(&mut self, name: &str, patience: Duration, mut attempt: impl FnMut() -> Result<T>) -> Result<T> {
        let deadline = Instant::now() + patience;
        loop {
            self.look()?;
            if let Some(functions) = &self.functions {
                functions.check()?;
            }
            match attempt() {
                Ok(value) => return Ok(value),
                Err(error) if Instant::now() > deadline => {
                    return Err(error).with_context(|| format!("{name} is not ready after {} s", patience.as_secs()));
                }
                Err(_) => thread::sleep(LOOK),
            }
        }
    }

    /// Starts functions again that died.
    ///
    /// # Errors
    /// If anything else died, or we were told to stop.
    fn look(&mut self) -> Result<()> {
        interrupt::check()?;
        for child in [&mut self.simulator, &mut self.emulator, &mut self.bridge].into_iter().flatten() {
            if let Some(status) = child.ended() {
                let log = lines::folder().join(format!("{}.log", child.name()));
                let end = programs::last_lines(&fs::read(&log).unwrap_or_default(), 5);
                bail!("{} ended ({status}); see {}{end}", child.name(), log.display());
            }
        }
        let postgres = self.postgres.as_mut().and_then(Postgres::ended).map(|status| ("postgres", status));
        let rabbitmq = self.rabbitmq.as_mut().and_then(RabbitMq::ended).map(|status| ("rabbitmq", status));
        if let Some((name, status)) = postgres.or(rabbitmq) {
            bail!("{name} ended ({status}); see {}", lines::folder().join(format!("{name}.log")).display());
        }
        if let Some(functions) = &mut self.functions {
            functions.supervise(&self.ledger)?;
        }
        Ok(())
    }

    /// Looks after everything until we are told to stop or something is beyond help.
    ///
    /// # Errors
    /// As soon as that is so.
    pub(super) fn watch_over(&mut self) -> Result<()> {
        loop {
            self.look()?;
            thread::sleep(LOOK);
        }
    }

    /// Stops everything, in at most twelve seconds: first what takes work in, last what keeps it.
    pub(super) fn stop(&mut self) {
        if let Some(mut bridge) = self.bridge.take() {
            bridge.stop(Duration::from_secs(3));
        }
        if let Some(mut functions) = self.functions.take() {
            functions.stop();
        }
        let mut others: Vec<Child> = [self.emulator.take(), self.simulator.take()].into_iter().flatten().collect();
        others.iter_mut().for_each(children::Child::ask_to_end);
        others.iter_mut().for_each(|child| child.wait_or_kill(Duration::from_secs(1)));
        thread::scope(|scope| {
            let rabbitmq = self.rabbitmq.take();
            scope.spawn(move || drop(rabbitmq));
            drop(self.postgres.take());
        });
    }
}

fn program(built: &BTreeMap<String, PathBuf>, name: &str) -> Result<Command> {
    let program = built.get(name).with_context(|| format!("the build made no program `{name}`"))?;
    accounts::command(program, None, &checkout::root(), "TERM")
}

/// What is faster than its room's pace is a fault on the simulator's page.
fn tell_pace(page: &str, bot_id: &str, environment: &BTreeMap<String, String>) -> Result<()> {
    let Some(pace) = pace::of_bot(bot_id, environment) else { return Ok(()) };
    let every = u64::try_from(pace.every.as_millis()).context("the room's pace is too long")?;
    let order = json!({"bot_id": bot_id, "every": every, "burst": pace.burst}).to_string();
    let answer = http::post(&format!("{page}_sim/pace"), &order, Duration::from_secs(5))?;
    if answer.status != 204 {
        bail!("the simulator does not take the room's pace: HTTP {}", answer.status);
    }
    Ok(())
}

fn invoke_migrate(functions_url: &str, patience: Duration) -> Result<()> {
    let url = format!("{functions_url}/2015-03-31/functions/migrate/invocations");
    let answer = http::post(&url, "{}", patience)?;
    if answer.status == 200 {
        return Ok(());
    }
    let said: Option<Value> = serde_json::from_str(&answer.body).ok();
    let why = said.as_ref().and_then(|said| said.get("errorMessage")?.as_str()).unwrap_or("no reason given");
    // A checkout that went back, or to another branch, meets what the one before left.
    let hint = if why.contains("holds other migrations") { "; --fresh begins with empty data" } else { "" };
    bail!("migrate answers HTTP {}: {why}{hint}", answer.status)
}

fn answers(url: &str) -> Result<()> {
    let answer = http::get(url, Duration::from_secs(5))?;
    // The path of a callback ends in a secret: the error names the place without it.
    let place: String = url.split('/').take(4).collect::<Vec<_>>().join("/");
    if answer.status != 200 { bail!("{place} answers HTTP {}", answer.status) } else { Ok(()) }
}
