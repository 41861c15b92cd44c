//! Exchanges that are more than a request and its answer: streams, WebSockets, gRPC.

mod api;
mod grpc;

use api::Api;
