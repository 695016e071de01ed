//! The five functions from their images, under cargo-lambda's emulator, on a real Postgres and a real RabbitMQ.
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use nix::sys::signal::Signal;
use serde_json::json;
use talkback::broker::{Props, QUEUE};
use uuid::Uuid;
use xtask::pids::Ledger;

use super::{built, container, inside, status};
use crate::migrations::empty;
use crate::process::emulator::{Emulator, client, folder, start_with};
use crate::process::works::{PATIENCE, Setup, Works, group};
use crate::station::{KEY, connect, dressed, new_database, texts};
use crate::vhost::Vhost;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_sent_published_and_typed_is_relayed_by_functions_from_their_images() {
    // The image's own roots are read by its own program.
    let vars = vec![("DATABASE_CA_FILE", "/etc/ssl/certs/ca-certificates.crt".to_owned())];
    let images = Some(built().await);
    // A name is looked up by what is compiled in, and in what a container is given: /etc/hosts, /etc/resolv.conf.
    let database = Some(new_database().await.replace("127.0.0.1", "localhost"));
    let setup = Setup { story: "images", usual: true, sends: 1, vars, images, database, ..Setup::default() };
    let works = Works::start(setup).await;
    let uids = [(); 3].map(|()| Uuid::new_v4().to_string());

    // `send`, and by the callback its confirmation.
    let body = json!({ "body": "The transmitter is warm", "uid": uids[0] });
    let request = client().post(format!("{}/send", works.emulator.url())).bearer_auth(KEY).timeout(PATIENCE);
    assert_eq!(request.json(&body).send().await.unwrap().status(), 202);
    works.until("select state from deliveries", &["confirmed"]).await;

    // The consumer.
    let text = json!({ "From": "+12075550123", "Body": "Play some Coltrane", "wbor_message_id": uids[1] });
    works.publish("source.twilio.sms.incoming", &text, &Props::default()).await;
    works.until("select state from deliveries order by id", &["confirmed"; 2]).await;

    // The dispatcher: only it fetches pictures.
    let picture = json!({ "body": "Look", "images": [works.gallery.url("a.jpg")], "wbor_message_id": uids[2] });
    works.publish("source.standard", &picture, &Props::default()).await;
    works.until("select state from deliveries order by id", &["confirmed"; 3]).await;

    // The callback: a command.
    works.sim.say(&group(0), "4711", "Grace", "!ping").await;
    works.until("select state from deliveries order by id", &["confirmed"; 4]).await;

    let lines = works.sim.lines(&group(0));
    let said = texts(&lines);
    assert_eq!(said[..2], [dressed("The transmitter is warm", &uids[0]), dressed("Play some Coltrane", &uids[1])]);
    assert!(said[2].contains("Look") && lines[3].picture_url.is_some(), "{said:?}");
    let doors = "select door from messages order by accepted_at limit 3";
    assert_eq!(works.column(doors).await, ["http", "rabbitmq", "rabbitmq"]);
    assert_eq!(works.sim.complaints(), Vec::<String>::new());
    works.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_empty_database_is_migrated_from_an_image_by_a_process_that_may_nothing() {
    let folder = folder("image-migrates");
    let ledger = Arc::new(Ledger::open(folder.join("pids")).unwrap());
    let (url, vhost, emulator) = tokio::join!(empty(), Vhost::new(), Emulator::start(&folder, &ledger));
    let config = "[[rooms]]\nname = \"a\"\nbot_id = \"b07e57b07e57b07e57b07e57aa\"\ngroup = \"90210\"\n\
                  [[routes]]\npattern = \"source.#\"\nrooms = [\"a\"]\n\
                  [[exchanges]]\nname = \"source_exchange\"\ntype = \"topic\"\npatterns = [\"source.#\"]\ndeclare = true\n";
    let environment = [
        ("DATABASE_URL", url.clone()),
        ("AMQP_URL", vhost.url()),
        ("TALKBACK_CONFIG", config.to_owned()),
        ("TALKBACK_DATA_KEYS", format!("k1:{}", STANDARD.encode([7; 32]))),
        ("TALKBACK_LOOKUP_KEY", STANDARD.encode([9; 32])),
        ("AWS_LAMBDA_RUNTIME_API", format!("{}/.rt/migrate", emulator.url())),
        ("AWS_LAMBDA_FUNCTION_NAME", "migrate".to_owned()),
        ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256".to_owned()),
        ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST".to_owned()),
    ];
    let environment = environment.map(|(name, value)| (name.to_owned(), value)).into();
    let container = container("migrate", "migrates").await;
    let command = container.command(&environment, &[]).unwrap();
    let migrate = start_with(Signal::SIGTERM, "migrate", command, &folder, &ledger);

    let (code, answer) = emulator.invoker().invoke("migrate", &json!({}), PATIENCE).await.unwrap();
    let applied = answer["applied"].as_array().cloned().unwrap_or_default();
    assert!(code == 200 && answer["topology"] == true && !applied.is_empty(), "{code} {answer}");
    let tables =
        "select count(*)::text from pg_tables where schemaname = 'public' and tablename in ('messages', 'lanes')";
    let tables: String = connect(&url).await.query_one(tables, &[]).await.unwrap().get(0);
    assert_eq!(tables, "2");
    assert_eq!(vhost.broker.depth(QUEUE).await, Ok(0));

    // It is still there, waiting for another event: with another tool than buildah, not as a child of ours.
    if built().await.name() == "buildah" {
        let pid = inside(&migrate);
        assert_ne!(pid, migrate.pid(), "the program is not found");
        for ids in ["Uid", "Gid"] {
            assert_eq!(status(pid, ids).as_deref(), Some("65532 65532 65532 65532"), "{ids}");
        }
        // Buildah leaves one in the set of those that could be had from a file that grants it; no file here does.
        for capabilities in ["CapInh", "CapPrm", "CapEff", "CapAmb"] {
            assert_eq!(status(pid, capabilities).as_deref(), Some("0000000000000000"), "{capabilities}");
        }
    }
    drop(migrate);
    drop(emulator);
    vhost.gone().await;
}
