//! Passes descriptors between processes over a pair of sockets.
#![allow(unsafe_code)]

use std::mem;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::ptr;

/// Room for the header of a control message and one descriptor, aligned as such.
type Control = [u64; 4];

/// Sends a descriptor to who has the other end.
pub fn send(socket: &UnixStream, descriptor: BorrowedFd<'_>) {
    let mut byte = [0u8];
    let mut control: Control = [0; 4];
    with_message(&mut byte, &mut control, |message| {
        // SAFETY: there is room for a header and a descriptor in the control message.
        let sent = unsafe {
            message.msg_controllen = libc::CMSG_SPACE(4) as _;
            let header = libc::CMSG_FIRSTHDR(message);
            (*header).cmsg_level = libc::SOL_SOCKET;
            (*header).cmsg_type = libc::SCM_RIGHTS;
            (*header).cmsg_len = libc::CMSG_LEN(4) as _;
            ptr::write_unaligned(libc::CMSG_DATA(header).cast(), descriptor.as_raw_fd());
            libc::sendmsg(socket.as_raw_fd(), message, 0)
        };
        assert_eq!(sent, 1, "sendmsg");
    });
}

/// Waits for a descriptor from who has the other end; `None`: he has closed it.
pub fn receive(socket: &UnixStream) -> Option<OwnedFd> {
    let mut byte = [0u8];
    let mut control: Control = [0; 4];
    with_message(&mut byte, &mut control, |message| {
        // SAFETY: as above; the kernel writes the descriptor, which is nobody else's.
        unsafe {
            if libc::recvmsg(socket.as_raw_fd(), message, libc::MSG_CMSG_CLOEXEC) != 1 {
                return None;
            }
            let header = libc::CMSG_FIRSTHDR(message);
            assert!(!header.is_null(), "a descriptor");
            let number = ptr::read_unaligned(libc::CMSG_DATA(header).cast::<i32>());
            Some(OwnedFd::from_raw_fd(number))
        }
    })
}

fn with_message<A>(
    byte: &mut [u8; 1],
    control: &mut Control,
    call: impl FnOnce(&mut libc::msghdr) -> A,
) -> A {
    let mut part = libc::iovec { iov_base: byte.as_mut_ptr().cast(), iov_len: 1 };
    // SAFETY: an all-zero message is one.
    let mut message: libc::msghdr = unsafe { mem::zeroed() };
    message.msg_iov = &mut part;
    message.msg_iovlen = 1;
    message.msg_control = control.as_mut_ptr().cast();
    message.msg_controllen = mem::size_of::<Control>() as _;
    call(&mut message)
}
