//! JSON logs: one line an event, the fields of its spans beside its own, so that one field has one name everywhere.
