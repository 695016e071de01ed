//! Producers that fall back, and Talkback that returns: the real library and the real `talkback-send` against the real
//! topology. Whatever comes first, original, record or reply, each message is seen once and recorded once.
mod desk;
mod examples;
mod library;
mod orders;
mod processes;
mod proxy;
mod replies;
mod together;
mod window;
