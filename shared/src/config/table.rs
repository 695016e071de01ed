//! Every variable in one table: the README's is made from it, and a test compares them.

/// Name, what it means, and its default, with what follows from leaving it out.
pub const SETTINGS: &[(&str, &str, &str)] = &[
    ("DATABASE_URL", "Postgres, with user and password: `postgres://user:password@host/database`", "required"),
    (
        "DATABASE_CA_FILE",
        "PEM file of roots that the database's certificate may chain to besides the public ones",
        "public roots only",
    ),
    (
        "AMQP_URL",
        "RabbitMQ, with user and password: `amqps://user:password@host/%2f`",
        "no replies to producers, no records for a logger, dead letters stay where they are, and nowhere to put messages while Postgres is down",
    ),
    (
        "TALKBACK_CONFIG",
        "rooms, routes, exchanges, times: path of a TOML file like `infra/talkback.toml`, or the TOML itself",
        "required",
    ),
    (
        "TALKBACK_SEND_KEYS",
        "who may use `POST /send` and `POST /v3/bots/post`: `name:sha256-hex[:source patterns joined by \\|][:urgent][:rooms][:ok200]`, separated by commas; `cargo xtask key NAME` makes one",
        "`send` refuses to serve",
    ),
    (
        "TALKBACK_DATA_KEYS",
        "what seals private columns, and signs the records that are published: `id:base64` of 32 bytes, separated by commas, newest first; keep the old ones to read what they sealed and know what they signed",
        "required",
    ),
    (
        "TALKBACK_LOOKUP_KEY",
        "what makes look-up hashes of senders and contents: base64 of at least 32 bytes; a new one finds nothing old",
        "required",
    ),
    (
        "GROUPME_BOT_ID",
        "the bot of a room that says `bot_id = \"env:GROUPME_BOT_ID\"`; a room may name any other variable so",
        "required where a room names it",
    ),
    (
        "GROUPME_GROUP_ID",
        "the group of a room that says `group = \"env:GROUPME_GROUP_ID\"`",
        "required where a room names it",
    ),
    (
        "GROUPME_ACCESS_TOKEN",
        "a member's token, for uploading pictures and reading rooms back",
        "no pictures; posts are found again only by callback",
    ),
    (
        "GROUPME_CALLBACK_TOKEN",
        "last segment of the bot's callback address, at least 16 characters; two, separated by a comma, while one is replaced",
        "every callback is refused: no confirmations, no commands",
    ),
    ("GROUPME_API_URL", "GroupMe's API; https, or http on this machine", "`https://api.groupme.com/v3`"),
    ("GROUPME_IMAGE_URL", "GroupMe's picture service; likewise", "`https://image.groupme.com`"),
    ("ACK_URL", "where the Twilio front end waits for acknowledgements; likewise", "none is sent"),
    (
        "TWILIO_ACCOUNT_SID",
        "the account that received media are fetched from",
        "media of Twilio are fetched without authentication",
    ),
    ("TWILIO_AUTH_TOKEN", "its password; both or neither", "likewise"),
    ("TALKBACK_LISTEN", "where `talkback-host` listens, by plain HTTP; Lambda's functions do not", "`127.0.0.1:8080`"),
    (
        "TALKBACK_METRICS",
        "`embedded`: functions write metrics into their log in CloudWatch's embedded format; `talkback-host` has `/metrics` anyway",
        "`none`",
    ),
    ("RUST_LOG", "what is logged: a level, or directives such as `info,talkback::relay=debug`", "`info`"),
];

/// The README's table, as it must stand there between the `settings` markers.
#[must_use]
pub fn readme_rows() -> String {
    let head = "| setting | meaning | default |\n| --- | --- | --- |\n".to_owned();
    SETTINGS
        .iter()
        .fold(head, |rows, (name, meaning, default)| rows + &format!("| `{name}` | {meaning} | {default} |\n"))
}
