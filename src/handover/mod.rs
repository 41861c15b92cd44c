//! The other process: a channel over which one gateway hands over to the next, with messages and open files.
//!
//! # What it promises
//!
//! - Messages arrive whole and in order, or the channel has ended. Who ends, however it ends, ends the channel.
//! - A file that was sent is open at the other side, and closed here when its owner drops it.
//! - Nobody but the user of this process, and root, can open the other end.

mod channel;
mod question;

pub use channel::{Channel, Listener, MOST_FILES, Receiver, Sender};
pub use question::{Answers, Asker, Gone};
