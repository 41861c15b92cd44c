//! What is left of requests that are over.

mod collector;
mod level;
mod lines;
mod secrets;
mod spans;
