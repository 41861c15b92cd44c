//! Exchanges that are more than a request and its answer: streams, WebSockets, gRPC.

mod api;
mod clients;
mod grpc;
mod http2;
mod limits;
mod open;
mod sockets;
mod usage;

use api::Api;
use open::Open;
