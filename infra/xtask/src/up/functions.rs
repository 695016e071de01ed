//! The functions: each binary as often as it may run at once, started again when it dies, as Lambda would.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use nix::sys::signal::Signal;

use super::{lines, runtime_api::RuntimeApi};
use crate::{accounts, checkout, children::Child, operator, pids::Ledger, programs, progress::say};

/// Each function, and how many of it run. One environment works on one event at a time: HTTP has several; a mapping
/// from a queue has one, whatever is configured; the schedule has one, and whoever invokes it by hand another: behind
/// the first, which stays for its minute, both that call and the next minute's would wait too long.
pub(super) const FUNCTIONS: [(&str, usize); 5] =
    [("send", 4), ("groupme-callback", 2), ("rabbitmq-consumer", 1), ("dispatcher", 2), ("migrate", 1)];

/// How long after its death one is started again. Less, and one that dies at once would take a whole processor.
const PAUSE: Duration = Duration::from_millis(300);

/// How long one may work on one call. The dispatcher stays for 50 s where it cannot know how long it has.
const LIMIT: Duration = Duration::from_secs(70);

/// So many deaths of one while everything is still being set up mean that it cannot start at all.
const HOPELESS: u32 = 3;

/// All instances of all functions.
pub(super) struct Functions {
    instances: Vec<Instance>,
    environment: BTreeMap<String, String>,
    runtime: RuntimeApi,
}

struct Instance {
    function: &'static str,
    name: String,
    program: PathBuf,
    log: PathBuf,
    child: Option<Child>,
    life: String,
    died: Option<Instant>,
    deaths: u32,
}

impl Functions {
    /// Starts them all.
    ///
    /// # Errors
    /// If a program is missing or cannot be started.
    pub(super) fn start(
        built: &BTreeMap<String, PathBuf>,
        environment: BTreeMap<String, String>,
        port: u16,
        ledger: &Ledger,
    ) -> Result<Functions> {
        operator::remember(&environment)?;
        let mut functions = Functions { instances: Vec::new(), environment, runtime: RuntimeApi::start(port)? };
        for (function, count) in FUNCTIONS {
            let program = built.get(function).with_context(|| format!("the build made no program `{function}`"))?;
            for number in 1..=count {
                let name = if count == 1 { function.to_owned() } else { format!("{function}-{number}") };
                functions.instances.push(Instance {
                    function,
                    program: program.clone(),
                    log: lines::file(&name)?,
                    name,
                    child: None,
                    life: String::new(),
                    died: None,
                    deaths: 0,
                });
            }
        }
        for index in 0..functions.instances.len() {
            functions.run(index, ledger)?;
        }
        Ok(functions)
    }

    fn run(&mut self, index: usize, ledger: &Ledger) -> Result<()> {
        let instance = &mut self.instances[index];
        instance.life = self.runtime.begin(instance.function);
        let mut command = accounts::command(&instance.program, None, Path::new("/"), "KILL")?;
        command
            .current_dir(checkout::root())
            .envs(&self.environment)
            .env("AWS_LAMBDA_RUNTIME_API", self.runtime.address(&instance.life))
            .env("AWS_LAMBDA_FUNCTION_NAME", instance.function)
            .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256")
            .env("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = Child::start(&instance.name, command, Signal::SIGTERM, ledger)?;
        lines::follow(&mut child, &instance.log, true, None)?;
        instance.child = Some(child);
        instance.died = None;
        Ok(())
    }

    /// Starts again what has died, and ends what takes longer than a function may.
    ///
    /// # Errors
    /// If one cannot be started.
    pub(super) fn supervise(&mut self, ledger: &Ledger) -> Result<()> {
        for index in 0..self.instances.len() {
            let instance = &mut self.instances[index];
            if let Some(child) = &mut instance.child
                && self.runtime.busy(&instance.life).is_some_and(|busy| busy > LIMIT)
            {
                say(format!("{} is ended: its call took longer than {} s", instance.name, LIMIT.as_secs()));
                child.kill();
            }
            if let Some(status) = instance.child.as_mut().and_then(Child::ended) {
                self.runtime.end(&instance.life);
                say(format!("{} died ({status}) and is started again", instance.name));
                instance.child = None;
                instance.died = Some(Instant::now());
                instance.deaths += 1;
            }
            if instance.died.is_some_and(|died| died.elapsed() >= PAUSE) {
                self.run(index, ledger)?;
            }
        }
        Ok(())
    }

    /// Looks, while everything is being set up, for one that cannot live.
    ///
    /// # Errors
    /// If there is one; with the last lines of its log.
    pub(super) fn check(&self) -> Result<()> {
        if let Some(dead) = self.instances.iter().find(|instance| instance.deaths >= HOPELESS) {
            let log = std::fs::read(&dead.log).unwrap_or_default();
            bail!("{} does not stay alive; see {}{}", dead.name, dead.log.display(), programs::last_lines(&log, 8));
        }
        Ok(())
    }

    /// Ends them all.
    pub(super) fn stop(&mut self) {
        let mut children: Vec<Child> = self.instances.iter_mut().filter_map(|instance| instance.child.take()).collect();
        children.iter_mut().for_each(Child::ask_to_end);
        let deadline = Instant::now() + Duration::from_secs(1);
        for child in &mut children {
            child.wait_or_kill(deadline.saturating_duration_since(Instant::now()));
        }
    }
}
