//! The rows of the table, in files by what they need.
pub(crate) mod accept;
pub(crate) mod growth;
pub(crate) mod paced;
pub(crate) mod rooms;
pub(crate) mod send;
pub(crate) mod size;
pub(crate) mod stats;
pub(crate) mod throughput;
pub(crate) mod urgent;
