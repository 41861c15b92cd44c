//! News: what happens now, for whoever watches. Nothing of it is kept, and nothing is done while nobody listens.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};

use serde_json::Value;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

/// What a listener may lag behind before it misses some.
const KEPT: usize = 1_024;

/// The process's.
static BOARD: LazyLock<Arc<Board>> = LazyLock::new(|| Arc::new(Board::new()));

/// Tells those who listen; `data` is made for them alone.
pub fn tell(kind: &'static str, data: impl FnOnce() -> Value) {
    BOARD.tell(kind, data);
}

pub fn listen() -> Listener {
    BOARD.listen()
}

/// One piece of news.
#[derive(Clone, Debug, PartialEq)]
pub struct News {
    pub kind: &'static str,
    pub data: Value,
}

struct Board {
    listeners: AtomicUsize,
    sender: broadcast::Sender<News>,
}

impl Board {
    fn new() -> Self {
        Self { listeners: AtomicUsize::new(0), sender: broadcast::Sender::new(KEPT) }
    }

    fn tell(&self, kind: &'static str, data: impl FnOnce() -> Value) {
        if self.listeners.load(Ordering::Relaxed) > 0 {
            // An error says that the last of them has just gone.
            let _ = self.sender.send(News { kind, data: data() });
        }
    }

    fn listen(self: &Arc<Self>) -> Listener {
        let receiver = self.sender.subscribe();
        self.listeners.fetch_add(1, Ordering::Relaxed);
        Listener { receiver, board: self.clone() }
    }
}

/// Whoever listens, until dropped.
pub struct Listener {
    receiver: broadcast::Receiver<News>,
    board: Arc<Board>,
}

impl Listener {
    /// The next piece of news, or how many this listener was too slow for.
    pub async fn next(&mut self) -> Result<News, u64> {
        match self.receiver.recv().await {
            Ok(news) => Ok(news),
            Err(RecvError::Lagged(missed)) => Err(missed),
            // The sender is on the board.
            Err(RecvError::Closed) => std::future::pending().await,
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.board.listeners.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[tokio::test]
    async fn only_those_who_listen_are_told_and_the_slow_learn_what_they_missed() {
        let board = Arc::new(Board::new());
        board.tell("unheard", || panic!("it is made for nobody"));
        let mut listener = board.listen();
        board.tell("heard", || json!({ "number": 1 }));
        assert_eq!(listener.next().await, Ok(News { kind: "heard", data: json!({ "number": 1 }) }));
        for number in 0..=KEPT {
            board.tell("many", || json!(number));
        }
        assert_eq!(listener.next().await, Err(1));
        assert_eq!(listener.next().await.map(|news| news.data), Ok(json!(1)));
        drop(listener);
        board.tell("unheard", || panic!("it is made for nobody"));
    }
}
