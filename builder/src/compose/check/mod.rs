//! Rules on the finished tree.
