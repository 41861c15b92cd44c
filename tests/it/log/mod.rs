//! What is left of requests that are over.

mod collector;
mod lines;
mod spans;
