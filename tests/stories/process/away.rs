//! Postgres, RabbitMQ, or both go away while messages of one to three parts flow through both doors, alarms among them:
//! killed, frozen, full, read-only, cut off. Alarms are seen within five seconds, and once; nothing is lost, nothing
//! else is seen twice, the records are whole, and nobody runs hot meanwhile.
mod both;
mod counted;
mod disk;
mod ground;
mod postgres;
mod proxy;
mod rabbitmq;
