//! The bridge's own program, as a child; and what its command line promises.
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, Command, ExitStatus, Output, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use secrecy::ExposeSecret as _;
use talkback::amqp_event::Record;
use talkback::broker::QUEUE;
use tokio::task::spawn_blocking;

use super::function::{Answer, Function, messages};
use super::proxy::Proxy;
use super::vhost::{SOURCE, Vhost, eventually};

pub(crate) struct Program(Child);

impl Drop for Program {
    fn drop(&mut self) {
        // Already gone where the test went well.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn program(vhost: &Vhost, port: Option<u16>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bridge"));
    command.env("AMQP_URL", vhost.url_at(port).expose_secret()).env_remove("RUST_LOG");
    command
}

impl Program {
    /// Starts it; it may not be ready.
    fn start(mut command: Command, function: &Function, more: &[&str]) -> Self {
        let command = command.args(["--queue", QUEUE, "--function", "rabbitmq-consumer", "--invoke", &function.base]);
        Self(command.args(["--window", "50ms"]).args(more).stdout(Stdio::piped()).spawn().unwrap())
    }

    /// A bridge from the work queue to the function that consumes already.
    pub(crate) async fn bridge(vhost: &Vhost, function: &Function, more: &[&str]) -> Self {
        Self::start(program(vhost, None), function, more).ready().await
    }

    async fn ready(mut self) -> Self {
        let out = self.0.stdout.take().unwrap();
        let first = spawn_blocking(|| BufReader::new(out).lines().next().unwrap().unwrap()).await.unwrap();
        assert_eq!(first, "ready");
        self
    }

    fn tell(&self, signal: Signal) {
        kill(Pid::from_raw(self.0.id().try_into().unwrap()), signal).unwrap();
    }

    async fn ended(&mut self) -> ExitStatus {
        eventually("the end of the bridge", async || self.0.try_wait().unwrap()).await
    }

    pub(crate) async fn stop(mut self) {
        self.tell(Signal::SIGTERM);
        assert!(self.ended().await.success());
    }
}

async fn publish(vhost: &Vhost, arguments: &[&str], body: &'static [u8]) -> Output {
    let mut command = program(vhost, None);
    command.arg("publish").args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let run = move || {
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(body).unwrap();
        child.wait_with_output().unwrap()
    };
    spawn_blocking(run).await.unwrap()
}

#[tokio::test]
async fn told_to_stop_it_finishes_the_invocation_in_flight() {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let vhost = Vhost::new().await;
        let broker = vhost.declared().await;
        let function = Function::answering(&[Answer::Hold]).await;
        let mut program = Program::bridge(&vhost, &function, &[]).await;
        vhost.publish_bare(SOURCE, &[("source.standard", b"{}".to_vec())]).await;
        function.reached(1).await;
        program.tell(signal);
        // Once by Ctrl-C, and once by who started it.
        program.tell(Signal::SIGTERM);
        function.release();
        assert!(program.ended().await.success());
        assert!(broker.get(QUEUE).await.unwrap().is_none(), "it was acknowledged");
        vhost.gone().await;
    }
}

#[tokio::test]
async fn what_was_not_answered_before_a_kill_comes_again() {
    let vhost = Vhost::new().await;
    vhost.declared().await;
    let function = Function::answering(&[Answer::Hold]).await;
    let mut program = Program::bridge(&vhost, &function, &[]).await;
    vhost.publish_bare(SOURCE, &[("source.standard", b"{}".to_vec())]).await;
    function.reached(1).await;
    program.tell(Signal::SIGKILL);
    program.ended().await;
    let program = Program::bridge(&vhost, &function, &[]).await;
    function.reached(2).await;
    assert!(messages(&function.events()[1].1)[0].redelivered);
    program.stop().await;
    vhost.gone().await;
}

#[tokio::test]
async fn it_waits_for_its_queue_and_is_ready_then() {
    let vhost = Vhost::new().await;
    let function = Function::answering(&[]).await;
    let program = Program::start(program(&vhost, None), &function, &[]);
    vhost.declared().await;
    let program = program.ready().await;
    vhost.publish_bare(SOURCE, &[("source.standard", b"{}".to_vec())]).await;
    function.reached(1).await;
    program.stop().await;
    vhost.gone().await;
}

#[tokio::test]
async fn a_cut_connection_is_made_anew() {
    let vhost = Vhost::new().await;
    vhost.declared().await;
    let proxy = Proxy::before(vhost.port()).await;
    let function = Function::answering(&[]).await;
    let program = Program::start(program(&vhost, Some(proxy.port)), &function, &[]).ready().await;
    proxy.cut();
    vhost.publish_bare(SOURCE, &[("source.standard", b"{}".to_vec())]).await;
    function.reached(1).await;
    assert_eq!(proxy.made(), 2);
    program.stop().await;
    vhost.gone().await;
}

#[tokio::test]
async fn it_ticks_at_once_and_then_by_the_clock_one_at_a_time() {
    let vhost = Vhost::new().await;
    vhost.declared().await;
    let function = Function::answering(&[Answer::Hold, Answer::Status(500)]).await;
    let program = Program::bridge(&vhost, &function, &["--tick", "dispatcher=20ms"]).await;
    function.reached(1).await;
    // The queue is served while a tick is held, and counts for itself.
    vhost.publish_bare(SOURCE, &[("source.standard", b"{}".to_vec())]).await;
    function.reached(2).await;
    assert_eq!(function.events().iter().filter(|(name, _)| name == "dispatcher").count(), 1);
    function.release();
    function.reached(6).await;
    assert!(function.most_running() <= 2);
    let (name, event) = &function.events()[0];
    assert_eq!((name.as_str(), event["detail-type"].as_str()), ("dispatcher", Some("Scheduled Event")));
    program.stop().await;
    vhost.gone().await;
}

#[tokio::test]
async fn a_published_message_arrives_with_all_that_it_was_given() {
    let vhost = Vhost::new().await;
    let broker = vhost.declared().await;
    let words = [
        "--exchange",
        SOURCE,
        "--key",
        "source.standard",
        "--header",
        "alreadysent=true",
        "--header",
        "n=3",
        "--reply-to",
        "answers",
        "--correlation-id",
        "c-1",
    ];
    let output = publish(&vhost, &words, b"{\"body\": \"hello\"}").await;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let taken = eventually("the message", async || broker.get(QUEUE).await.unwrap()).await;
    let Record::Delivery(delivery) = &taken.record else { panic!("{taken:?}") };
    assert!(delivery.already_sent());
    assert_eq!(delivery.headers.int("n"), Some(3));
    assert_eq!(delivery.body, b"{\"body\": \"hello\"}");
    assert_eq!((delivery.reply_to.as_deref(), delivery.correlation_id.as_deref()), (Some("answers"), Some("c-1")));
    taken.ack().await.unwrap();
    vhost.gone().await;
}

#[tokio::test]
async fn a_publish_that_no_queue_takes_fails_in_one_clear_line() {
    let vhost = Vhost::new().await;
    vhost.declared().await;
    let output = publish(&vhost, &["--exchange", SOURCE, "--key", "nobody.listens"], b"s3cr3t").await;
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(
        said,
        "bridge: exchange \"source_exchange\", key \"nobody.listens\": no queue takes this message: nothing is bound for \
         its exchange and routing key\n"
    );
    vhost.gone().await;
}
