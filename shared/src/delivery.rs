//! The states of a delivery, a part and a message, and which changes are allowed.
