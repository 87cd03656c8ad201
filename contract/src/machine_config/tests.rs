//! Documents that are refused, each with its whole message, and one that says everything.
