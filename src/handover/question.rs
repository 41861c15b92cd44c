//! Questions that many ask at once over one channel, and their answers.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::{fmt, io};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot};

use super::channel::{Receiver, Sender};

/// The other process is not there any more: whether it heard the question nobody knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the other process is gone")]
pub struct Gone;

#[derive(Serialize, Deserialize)]
struct Numbered<T> {
    number: u64,
    says: T,
}

/// Asks the other process. Clones ask over the same channel.
pub struct Asker<Q, A> {
    questions: mpsc::UnboundedSender<Numbered<Q>>,
    waiting: Arc<Mutex<Waiting<A>>>,
}

/// Who waits for which answer; none once the channel has ended.
struct Waiting<A> {
    next: u64,
    open: Option<HashMap<u64, oneshot::Sender<A>>>,
}

impl<Q, A> fmt::Debug for Asker<Q, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Asker").finish_non_exhaustive()
    }
}

impl<Q, A> Clone for Asker<Q, A> {
    fn clone(&self) -> Self {
        Self { questions: self.questions.clone(), waiting: self.waiting.clone() }
    }
}

impl<Q, A> Asker<Q, A>
where
    Q: Serialize + Send + Sync + 'static,
    A: DeserializeOwned + Send + 'static,
{
    /// The tasks that send and hear run on the runtime of the caller, until the channel ends.
    pub fn new(sender: Sender, receiver: Receiver) -> Self {
        let (questions, to_send) = mpsc::unbounded_channel();
        let waiting = Arc::new(Mutex::new(Waiting { next: 0, open: Some(HashMap::new()) }));
        tokio::spawn(say(sender, to_send));
        tokio::spawn(hear(receiver, waiting.clone()));
        Self { questions, waiting }
    }

    pub async fn ask(&self, question: Q) -> Result<A, Gone> {
        let (tell, told) = oneshot::channel();
        self.send(question, tell)?;
        told.await.map_err(|_| Gone)
    }

    /// Asks, and does not wait for the answer. Where nobody is left to hear it there is nothing to wait for either.
    pub fn tell(&self, question: Q) {
        let (tell, _) = oneshot::channel();
        let _ = self.send(question, tell);
    }

    /// So many answers are still to come.
    pub fn waits_for(&self) -> usize {
        lock(&self.waiting).open.as_ref().map_or(0, HashMap::len)
    }

    fn send(&self, question: Q, tell: oneshot::Sender<A>) -> Result<(), Gone> {
        let number = {
            let mut waiting = lock(&self.waiting);
            let number = waiting.next;
            waiting.next += 1;
            waiting.open.as_mut().ok_or(Gone)?.insert(number, tell);
            number
        };
        let question = Numbered { number, says: question };
        self.questions.send(question).map_err(|_| Gone)
    }
}

async fn say<Q: Serialize>(mut sender: Sender, mut questions: mpsc::UnboundedReceiver<Numbered<Q>>) {
    while let Some(question) = questions.recv().await {
        if sender.send(&question).await.is_err() {
            return;
        }
    }
}

async fn hear<A: DeserializeOwned>(mut receiver: Receiver, waiting: Arc<Mutex<Waiting<A>>>) {
    while let Ok(Numbered { number, says }) = receiver.receive::<Numbered<A>>().await {
        let asked = lock(&waiting).open.as_mut().and_then(|open| open.remove(&number));
        if let Some(asked) = asked {
            // Whoever asked may have left.
            let _ = asked.send(says);
        }
    }
    lock(&waiting).open = None;
}

fn lock<A>(waiting: &Mutex<Waiting<A>>) -> MutexGuard<'_, Waiting<A>> {
    waiting.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The other side: questions come, each is answered when its answer is known.
pub struct Answers {
    receiver: Receiver,
    sender: Arc<tokio::sync::Mutex<Sender>>,
}

impl Answers {
    pub fn new(sender: Sender, receiver: Receiver) -> Self {
        Self { receiver, sender: Arc::new(tokio::sync::Mutex::new(sender)) }
    }

    /// Answers until the channel ends; says how it ended. Questions are answered at once, those that came first begin
    /// first.
    pub async fn serve<Q, A, F>(mut self, mut answer: impl FnMut(Q) -> F) -> io::Error
    where
        Q: DeserializeOwned,
        A: Serialize + Send + Sync,
        F: Future<Output = A> + Send + 'static,
    {
        loop {
            let Numbered { number, says } = match self.receiver.receive::<Numbered<Q>>().await {
                Ok(question) => question,
                Err(ended) => return ended,
            };
            let (answered, sender) = (answer(says), self.sender.clone());
            tokio::spawn(async move {
                let answer = Numbered { number, says: answered.await };
                // Who has asked and is gone needs no answer.
                let _ = sender.lock().await.send(&answer).await;
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::handover::{Channel, Listener};

    async fn pair() -> (Channel, Channel) {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("socket");
        let listener = Listener::bind(&path).expect("a socket");
        let connect = async { Channel::connect(&path).await.expect("no error").expect("somebody listens") };
        let (accepted, connected) = tokio::join!(listener.accept(), connect);
        (accepted.expect("a connection"), connected)
    }

    #[tokio::test]
    async fn each_gets_the_answer_to_what_it_asked_however_long_others_take() {
        let (here, there) = pair().await;
        let (sender, receiver) = there.split();
        let (go_on, goes_on) = tokio::sync::watch::channel(false);
        let served = tokio::spawn(Answers::new(sender, receiver).serve(move |question: u64| {
            let mut goes_on = goes_on.clone();
            async move {
                if question == 0 {
                    goes_on.wait_for(|go| *go).await.expect("told");
                }
                question * 2
            }
        }));
        let (sender, receiver) = here.split();
        let asker = Asker::<u64, u64>::new(sender, receiver);
        let first = tokio::spawn({
            let asker = asker.clone();
            async move { asker.ask(0).await }
        });
        for question in 1..100 {
            assert_eq!(asker.ask(question).await, Ok(question * 2));
        }
        go_on.send_replace(true);
        assert_eq!(first.await.expect("no panic"), Ok(0));
        drop(asker);
        assert_eq!(served.await.expect("no panic").kind(), io::ErrorKind::UnexpectedEof);
    }

    #[tokio::test]
    async fn who_waits_for_a_process_that_dies_is_told() {
        let (here, there) = pair().await;
        let (sender, receiver) = here.split();
        let asker = Asker::<u64, u64>::new(sender, receiver);
        let asked = asker.ask(1);
        tokio::pin!(asked);
        assert!(tokio::time::timeout(Duration::ZERO, &mut asked).await.is_err(), "nobody has answered");
        drop(there);
        assert_eq!(asked.await, Err(Gone));
        assert_eq!(asker.ask(2).await, Err(Gone));
    }
}
