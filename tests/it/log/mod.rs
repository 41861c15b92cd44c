//! What is left of requests that are over.

mod lines;
