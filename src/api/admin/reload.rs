//! `POST /admin/reload`: the configuration file is read again, and in force when this has been answered.

use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};

use crate::problem::{Code, Problem};

use super::AdminState;
use crate::api::Failed;

/// In force, or the mistakes that kept it from that, each as a person reads it.
pub type Reloaded = Result<(), Vec<String>>;

/// Whoever reads the configuration again, and answers what came of it. Nobody does where none was read from a file.
pub type Reloads = mpsc::Sender<oneshot::Sender<Reloaded>>;

pub(super) async fn reload(State(state): State<AdminState>) -> Result<Json<Value>, Failed> {
    let nobody =
        || Failed(Problem::new(Code::Unprocessable, "this gateway was started without a configuration file"));
    let (tell, told) = oneshot::channel();
    state.reloads.send(tell).await.map_err(|_| nobody())?;
    let mistakes = match told.await.map_err(|_| nobody())? {
        Ok(()) => return Ok(Json(json!({ "reloaded": true }))),
        Err(mistakes) => mistakes,
    };
    let detail =
        format!("the configuration is as it was; mend what is wrong with the file:\n{}", mistakes.join("\n"));
    Err(Failed(Problem::new(Code::Unprocessable, detail)))
}
