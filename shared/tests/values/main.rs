//! The values of the library, from outside: vectors, properties, and every payload in `events/`.
mod compose;
mod payloads;
mod sanitize;
