//! The host from its image: nothing beside it but Postgres, RabbitMQ and the chat.
use super::container;
use crate::process::host::{Host, does_what_all_functions_do};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_host_from_its_image_migrates_and_relays_alone() {
    let container = container("host", "hosts").await;
    does_what_all_functions_do(Host::of("image-host", "5ms", Some(container)).await).await;
}
