//! Batches: how they are cut, and what becomes of them.
use talkback::broker::{DEAD, QUEUE};

use super::function::{Answer, Function};
use super::program::Program;
use super::vhost::{SOURCE, Vhost, eventually};

fn numbered(count: usize) -> Vec<(&'static str, Vec<u8>)> {
    (0..count).map(|n| ("source.standard", n.to_string().into_bytes())).collect()
}

#[tokio::test]
async fn a_failed_batch_goes_back_whole_and_comes_again() {
    let vhost = Vhost::new().await;
    let broker = vhost.declared().await;
    let function = Function::answering(&[Answer::Status(500), Answer::FunctionError]).await;
    vhost.publish_bare(SOURCE, &numbered(3)).await;
    let program = Program::bridge(&vhost, &function, &[]).await;
    function.reached(3).await;
    let batches = function.batches();
    for (n, batch) in batches.iter().enumerate() {
        let bodies: Vec<&[u8]> = batch.iter().map(|message| message.body.as_slice()).collect();
        assert_eq!(bodies, [b"0", b"1", b"2"]);
        assert!(batch.iter().all(|message| message.redelivered == (n > 0)));
    }
    program.stop().await;
    assert!(broker.get(QUEUE).await.unwrap().is_none());
    vhost.gone().await;
}

#[tokio::test]
async fn no_batch_is_larger_than_told() {
    let vhost = Vhost::new().await;
    let broker = vhost.declared().await;
    vhost.publish_bare(SOURCE, &numbered(25)).await;
    eventually("all in the queue", async || (broker.depth(QUEUE).await == Ok(25)).then_some(())).await;
    let function = Function::answering(&[]).await;
    let program = Program::bridge(&vhost, &function, &["--batch", "10"]).await;
    function.received(25).await;
    let sizes: Vec<usize> = function.batches().iter().map(Vec::len).collect();
    assert_eq!(sizes, [10, 10, 5]);
    assert_eq!(function.most_running(), 1);
    program.stop().await;
    vhost.gone().await;
}

#[tokio::test]
async fn no_event_is_larger_than_six_megabytes_and_what_fits_into_none_is_kept() {
    let vhost = Vhost::new().await;
    let broker = vhost.declared().await;
    let large = |megabytes: usize| ("source.standard", vec![b'x'; megabytes * 1024 * 1024]);
    let messages = [large(2), large(2), large(5), large(1), large(4)];
    vhost.publish_bare(SOURCE, &messages).await;
    let function = Function::answering(&[]).await;
    let program = Program::bridge(&vhost, &function, &["--window", "2s"]).await;
    let dead = eventually("the one that fits into no event", async || broker.get(DEAD).await.unwrap()).await;
    dead.ack().await.unwrap();
    let arrived = function.received(4).await;
    let sizes: Vec<usize> = arrived.iter().map(|message| message.body.len() / 1024 / 1024).collect();
    assert_eq!(sizes, [2, 2, 1, 4]);
    for (_, event) in function.events() {
        assert!(event.to_string().len() <= bridge::event::LARGEST);
    }
    program.stop().await;
    assert_eq!(broker.depth(QUEUE).await, Ok(0));
    vhost.gone().await;
}
