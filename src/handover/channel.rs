//! Messages in JSON, each behind its length, and open files, over a Unix socket.

use std::fs;
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, recvmsg, sendmsg,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{UnixListener, UnixStream};

/// Files that are sent at once, as many as the kernel takes (`SCM_MAX_FD` of `unix(7)`).
pub const MOST_FILES: usize = 253;
/// The state of a million customers is longer than anything else, and shorter than this.
const MOST_BYTES: u32 = 1 << 30;

/// Waits for another process. Dropped, it removes its file.
pub struct Listener {
    listener: UnixListener,
    path: PathBuf,
}

impl Listener {
    /// What a process that has died left under the path is replaced.
    pub fn bind(path: &Path) -> io::Result<Self> {
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = UnixListener::bind(path)?;
        // The folder is closed to others as well: nobody can be quicker.
        fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
        Ok(Self { listener, path: path.to_owned() })
    }

    pub async fn accept(&self) -> io::Result<Channel> {
        self.listener.accept().await.map(|(stream, _)| Channel { stream })
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        // One that stays is replaced by the next process.
        let _ = fs::remove_file(&self.path);
    }
}

/// A connection to the other process.
pub struct Channel {
    stream: UnixStream,
}

impl Channel {
    /// None where nobody listens, or could: a path may be too long for that.
    pub async fn connect(path: &Path) -> io::Result<Option<Self>> {
        use io::ErrorKind::{ConnectionRefused, InvalidInput, NotFound};
        match UnixStream::connect(path).await {
            Ok(stream) => Ok(Some(Self { stream })),
            Err(error) if matches!(error.kind(), ConnectionRefused | InvalidInput | NotFound) => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub async fn send(&mut self, message: &impl Serialize) -> io::Result<()> {
        write(&mut self.stream, message).await
    }

    /// An end of the channel is an error.
    pub async fn receive<T: DeserializeOwned>(&mut self) -> io::Result<T> {
        read(&mut self.stream).await
    }

    /// Sends open files; at most [`MOST_FILES`], and at least one.
    pub async fn send_files(&self, files: &[BorrowedFd<'_>]) -> io::Result<()> {
        let send = || {
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_FILES))];
            let mut control = SendAncillaryBuffer::new(&mut space);
            if !control.push(SendAncillaryMessage::ScmRights(files)) {
                return Err(io::Error::new(io::ErrorKind::InvalidInput, "too many files at once"));
            }
            // Files travel with a byte.
            sendmsg(self.stream.as_fd(), &[IoSlice::new(&[0])], &mut control, SendFlags::NOSIGNAL)?;
            Ok(())
        };
        self.stream.async_io(Interest::WRITABLE, send).await
    }

    pub async fn receive_files(&self) -> io::Result<Vec<OwnedFd>> {
        let receive = || {
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_FILES))];
            let mut control = RecvAncillaryBuffer::new(&mut space);
            let mut byte = [0];
            let mut bytes = [IoSliceMut::new(&mut byte)];
            let read = recvmsg(self.stream.as_fd(), &mut bytes, &mut control, RecvFlags::CMSG_CLOEXEC)?;
            if read.bytes == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let files = control.drain().filter_map(|message| match message {
                RecvAncillaryMessage::ScmRights(files) => Some(files),
                _ => None,
            });
            Ok(files.flatten().collect())
        };
        self.stream.async_io(Interest::READABLE, receive).await
    }

    /// Both directions, for those who use them at once.
    pub fn split(self) -> (Sender, Receiver) {
        let (read, write) = self.stream.into_split();
        (Sender(write), Receiver(read))
    }
}

/// What this process says.
pub struct Sender(OwnedWriteHalf);

impl Sender {
    pub async fn send(&mut self, message: &impl Serialize) -> io::Result<()> {
        write(&mut self.0, message).await
    }
}

/// What the other one says.
pub struct Receiver(OwnedReadHalf);

impl Receiver {
    /// An end of the channel is an error.
    pub async fn receive<T: DeserializeOwned>(&mut self) -> io::Result<T> {
        read(&mut self.0).await
    }
}

async fn write(to: &mut (impl AsyncWriteExt + Unpin), message: &impl Serialize) -> io::Result<()> {
    let body = serde_json::to_vec(message)?;
    let length = u32::try_from(body.len()).ok().filter(|length| *length <= MOST_BYTES);
    let length =
        length.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "a message is too long"))?;
    let mut framed = Vec::with_capacity(body.len() + 4);
    framed.extend_from_slice(&length.to_be_bytes());
    framed.extend_from_slice(&body);
    to.write_all(&framed).await
}

async fn read<T: DeserializeOwned>(from: &mut (impl AsyncReadExt + Unpin)) -> io::Result<T> {
    let length = from.read_u32().await?;
    if length > MOST_BYTES {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "a message is too long"));
    }
    let mut body = Vec::new();
    let read = from.take(u64::from(length)).read_to_end(&mut body).await?;
    if read < length as usize {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(serde_json::from_slice(&body)?)
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Seek, Write};

    use super::*;

    async fn pair(path: &Path) -> (Channel, Channel) {
        let listener = Listener::bind(path).expect("a socket");
        let connect = async { Channel::connect(path).await.expect("no error").expect("somebody listens") };
        let (accepted, connected) = tokio::join!(listener.accept(), connect);
        (accepted.expect("a connection"), connected)
    }

    #[tokio::test]
    async fn messages_and_files_arrive_in_order() {
        let folder = tempfile::tempdir().expect("a folder");
        let (mut here, mut there) = pair(&folder.path().join("socket")).await;
        let mut file = tempfile::tempfile().expect("a file");
        file.write_all(b"written by one process").expect("written");
        here.send(&"before").await.expect("sent");
        let socket = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = socket.local_addr().expect("an address");
        here.send_files(&[file.as_fd(), socket.as_fd()]).await.expect("sent");
        drop(socket);
        let long = vec![7_u8; 1 << 20];
        let sent = tokio::spawn(async move { here.send(&long).await });
        assert_eq!(there.receive::<String>().await.expect("a message"), "before");
        let mut files = there.receive_files().await.expect("files").into_iter();
        let mut read = std::fs::File::from(files.next().expect("a file"));
        read.rewind().expect("a file");
        let mut text = String::new();
        read.read_to_string(&mut text).expect("readable");
        assert_eq!(text, "written by one process");
        let listener = std::net::TcpListener::from(files.next().expect("a socket"));
        assert_eq!(listener.local_addr().expect("an address"), address);
        std::net::TcpStream::connect(address).expect("it still listens");
        assert_eq!(there.receive::<Vec<u8>>().await.expect("a message"), vec![7; 1 << 20]);
        sent.await.expect("no panic").expect("sent");
    }

    #[tokio::test]
    async fn what_a_dead_process_left_is_nobody_and_is_replaced() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("socket");
        assert!(Channel::connect(&path).await.expect("no error").is_none(), "no file");
        drop(std::os::unix::net::UnixListener::bind(&path).expect("a socket"));
        assert!(Channel::connect(&path).await.expect("no error").is_none(), "a file without a process");
        let (mut here, there) = pair(&path).await;
        assert!(!path.exists(), "the listener is gone, and its file");
        drop(there);
        let ended = here.receive::<String>().await.expect_err("nobody is there");
        assert_eq!(ended.kind(), io::ErrorKind::UnexpectedEof);
    }

    #[tokio::test]
    async fn nobody_else_can_open_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("socket");
        let _listener = Listener::bind(&path).expect("a socket");
        let mode = fs::metadata(&path).expect("a file").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}
