//! The functions' processes: started again when they die, as Lambda would; killed and frozen on demand.
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinHandle;
use tokio::time::interval;
use xtask::children::Child;
use xtask::images::{Container, IMAGES, Tool};
use xtask::pids::Ledger;

use super::emulator::{program, start_with};
use crate::station::required;

/// How long after its death one is started again.
const PAUSE: Duration = Duration::from_millis(150);

/// How the processes are started.
pub struct Launch {
    pub environment: BTreeMap<String, String>,
    /// The emulator's runtime interface.
    pub runtime: String,
    /// Where their logs go.
    pub folder: PathBuf,
    pub ledger: Arc<Ledger>,
    /// Processes whose clocks are wrong, and by how many seconds.
    pub clocks: &'static [(&'static str, i64)],
    /// Who has their images, where they are to run from those.
    pub images: Option<Tool>,
}

/// What puts a clock wrong; the loader knows what `$LIB` is here. What Linux says of time but the time of day stays:
/// only a clock is wrong, and a minute lasts a minute.
pub(super) const FAKETIME: &str = "/usr/$LIB/faketime/libfaketime.so.1";

struct Instance {
    function: &'static str,
    name: String,
    child: Option<Child>,
    died: Option<Instant>,
    /// Not to be started again.
    held: bool,
    /// What it runs in, if in anything; outlives `child`.
    container: Option<Container>,
}

pub struct Functions {
    instances: Arc<Mutex<Vec<Instance>>>,
    supervisor: JoinHandle<()>,
}

impl Functions {
    /// Starts so many of each. The receiver hears the name of each process that starts, then and later.
    pub fn start(launch: Launch, counts: &[(&'static str, usize)]) -> (Self, UnboundedReceiver<&'static str>) {
        let (started, hear) = unbounded_channel();
        let mut instances = Vec::new();
        for &(function, count) in counts {
            for number in 1..=count {
                let name = format!("{function}-{number}");
                let container = launch.images.as_ref().map(|tool| container(tool, function, &name));
                instances.push(Instance { function, name, child: None, died: None, held: false, container });
            }
        }
        instances.iter_mut().for_each(|instance| instance.start(&launch, &started));
        let instances = Arc::new(Mutex::new(instances));
        let supervisor = tokio::spawn(supervise(Arc::clone(&instances), launch, started));
        (Self { instances, supervisor }, hear)
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Instance>> {
        self.instances.lock().unwrap()
    }

    /// Kills one process of this function: `kill -9`. Whether there was one to kill.
    pub fn kill(&self, function: &str, which: u64) -> bool {
        self.signal(function, which, Signal::SIGKILL)
    }

    /// Stops one process in its tracks.
    pub fn freeze(&self, function: &str, which: u64) -> bool {
        self.signal(function, which, Signal::SIGSTOP)
    }

    /// Lets it go on.
    pub fn thaw(&self, function: &str, which: u64) -> bool {
        self.signal(function, which, Signal::SIGCONT)
    }

    fn signal(&self, function: &str, which: u64, signal: Signal) -> bool {
        let mut instances = self.lock();
        let mut all: Vec<&mut Instance> = instances.iter_mut().filter(|i| i.function == function).collect();
        let which = usize::try_from(which).unwrap() % all.len();
        let Some(child) = all[which].child.as_mut() else { return false };
        let alive = child.ended().is_none();
        child.signal(signal);
        alive
    }

    /// Kills every process of this function and starts none, until it is let up.
    pub fn hold_down(&self, function: &str) {
        for instance in self.lock().iter_mut().filter(|i| i.function == function) {
            instance.held = true;
            if let Some(child) = &mut instance.child {
                child.signal(Signal::SIGKILL);
            }
        }
    }

    /// Ends [`hold_down`](Self::hold_down).
    pub fn let_up(&self, function: &str) {
        self.lock().iter_mut().filter(|i| i.function == function).for_each(|i| i.held = false);
    }
}

impl Drop for Functions {
    fn drop(&mut self) {
        self.supervisor.abort();
        // Whoever still waits in `supervise` finds nothing to start.
        let mut instances = self.lock();
        instances.iter_mut().for_each(|i| i.held = true);
        instances.iter_mut().filter_map(|i| i.child.as_mut()).for_each(Child::ask_to_end);
        instances.clear();
    }
}

impl Instance {
    fn start(&mut self, launch: &Launch, started: &UnboundedSender<&'static str>) {
        let mut environment = launch.environment.clone();
        let runtime = [
            ("AWS_LAMBDA_RUNTIME_API", format!("{}/{}", launch.runtime, self.function)),
            ("AWS_LAMBDA_FUNCTION_NAME", self.function.to_owned()),
            ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256".to_owned()),
            ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST".to_owned()),
        ];
        environment.extend(runtime.map(|(name, value)| (name.to_owned(), value)));
        let (mut command, end) = match &self.container {
            Some(container) => (container.command(&environment, &[]).unwrap(), Signal::SIGTERM),
            None => {
                let mut command = program(&PathBuf::from(required("TALKBACK_TEST_BIN")).join(self.function));
                command.envs(&environment);
                (command, Signal::SIGKILL)
            }
        };
        if let Some((_, seconds)) = launch.clocks.iter().find(|(name, _)| *name == self.name) {
            command
                .env("LD_PRELOAD", FAKETIME)
                .env("FAKETIME", format!("{seconds:+}"))
                .env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
        }
        self.child = Some(start_with(end, &self.name, command, &launch.folder, &launch.ledger));
        self.died = None;
        // Nobody need listen.
        let _ = started.send(self.function);
    }
}

/// Something to run a function's image in.
fn container(tool: &Tool, function: &str, name: &str) -> Container {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let image = IMAGES.iter().find(|image| image.name == function).unwrap();
    tool.container(image, &format!("talkback-story-{}-{number}-{name}", std::process::id())).unwrap()
}

/// Starts again what has died.
async fn supervise(instances: Arc<Mutex<Vec<Instance>>>, launch: Launch, started: UnboundedSender<&'static str>) {
    let mut look = interval(Duration::from_millis(20));
    loop {
        look.tick().await;
        for instance in instances.lock().unwrap().iter_mut() {
            if instance.child.as_mut().is_some_and(|child| child.ended().is_some()) {
                instance.child = None;
                instance.died = Some(Instant::now());
            }
            if !instance.held && instance.died.is_some_and(|died| died.elapsed() >= PAUSE) {
                instance.start(&launch, &started);
            }
        }
    }
}
